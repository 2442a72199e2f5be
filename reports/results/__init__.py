"""Everything that is read from a folder of runs."""
