"""Runs and reports in Weights & Biases."""

PROJECT = "adaptbench"
"""Where runs go in W&B, unless the user says otherwise."""
