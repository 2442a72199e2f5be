"""Keeps keys, tokens and passwords of this machine out of everything that is written."""

import os
import re

NAMES = re.compile(r"key|token|secret|passw|credential|auth(?!or)", re.IGNORECASE)
SHORTEST = 6
"""A shorter value may be an ordinary word."""


def without_secrets(text: str) -> str:
    """Replaces the values of environment variables whose names suggest a secret."""
    for name, value in os.environ.items():
        if NAMES.search(name) and len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return text
