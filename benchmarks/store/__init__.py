"""The folder of the runs."""
