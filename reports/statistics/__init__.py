"""Intervals and tests on arrays."""
