"""Packs files, scripts and data into the text of the page."""

import base64
import gzip
import hashlib
from functools import cache
from importlib.resources import files

import numpy as np
from markupsafe import Markup

_ESCAPES = {code: 128 + place for place, code in enumerate(b"\0\r&<")}
"""Characters that HTML changes or reads as its own, and those that stand for them; `unpack` in page.js undoes it."""


def pack(content: str | bytes) -> Markup:
    """Compresses content to text for the page; equal for equal contents.

    Args:
        content: Text, or bytes.
    """
    return pack_compressed(gzip.compress(content.encode() if isinstance(content, str) else content, 6, mtime=0))


def pack_compressed(content: bytes) -> Markup:
    """Writes bytes as text that needs no escaping: seven bits a character, which is a tenth shorter than base64."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    groups = np.pad(bits, (0, -len(bits) % 7)).reshape(-1, 7)
    codes = np.packbits(np.pad(groups, ((0, 0), (1, 0))))
    return Markup(codes.tobytes().decode("ascii").translate(_ESCAPES))


def template(name: str) -> str:
    """A file of the folder `templates`."""
    return files("adaptbench.reports.page").joinpath(f"templates/{name}").read_text(encoding="utf-8")


@cache
def vendored(name: str) -> bytes:
    """A library that ships with adaptbench, compressed."""
    return files("adaptbench.reports.page").joinpath(f"vendor/{name}.gz").read_bytes()


@cache
def vendored_script(name: str) -> str:
    """A vendored script, with its licence at the top."""
    return gzip.decompress(vendored(name)).decode("utf-8")


def digest(code: str) -> str:
    """The hash that lets an inline script run under the page's policy, which blocks all others."""
    return base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")
