"""Reads a folder of runs."""
