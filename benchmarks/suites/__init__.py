"""What is asked: suites in YAML, their cells, and the names that they use."""
