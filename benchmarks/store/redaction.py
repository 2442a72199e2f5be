"""Keys, tokens and passwords of this machine, kept out of everything that is written down."""

import os
import re

NAMES = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
SHORTEST = 6
"""A shorter value is a word that may stand anywhere."""


def without_secrets(text: str) -> str:
    """Blanks the values of environment variables whose names say that they are secret."""
    for name, value in os.environ.items():
        if NAMES.search(name) and len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return text
