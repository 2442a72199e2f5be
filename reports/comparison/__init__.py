"""Comparisons between learners: which scores are comparable, and the results."""
