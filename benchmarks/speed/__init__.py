"""The project's own stopwatch: its speed beside plain PyTorch and other libraries."""
