"""Tests and guards of adapters."""
