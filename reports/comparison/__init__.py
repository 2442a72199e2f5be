"""What may be compared, and how it came out."""
