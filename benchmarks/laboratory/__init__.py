"""What the laboratories of a report's page need of trained networks."""
