"""Tables as CSV that a spreadsheet can open without running what is in it."""

import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that a spreadsheet computes."""


def to_csv(frame: pd.DataFrame) -> str:
    """The frame as CSV: absent values are empty fields, numbers read back unchanged, and no text is a formula."""
    texts = frame.select_dtypes(["object", "string"])
    safe = texts.map(lambda value: f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value)
    return frame.assign(**safe).to_csv(index=False, lineterminator="\n")
