"""Numbers, captions and findings in words."""
