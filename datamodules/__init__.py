"""Tasks: what a task is and where its data comes from."""
