"""The one judge of all adapters."""
