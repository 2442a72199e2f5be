"""Suites, runs, where they are kept and who executes them."""
