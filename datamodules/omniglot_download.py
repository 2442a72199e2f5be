"""Downloads and verifies one file; an incomplete download leaves nothing behind."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Response

CONNECT_SECONDS, READ_SECONDS, RETRIES = 5, 30, 2
REFUSAL_SECONDS = 120.0
"""A refused address is not asked again for so long, because a suite builds many tasks that need the same file."""
_refusals: dict[str, tuple[float, Exception]] = {}


def download(url: str, path: Path, md5: str) -> None:
    """Downloads a file, with a progress bar on a terminal; the caller must hold a lock on its folder.

    Args:
        url: address of the file.
        path: where to put it; an existing file is replaced.
        md5: checksum of the file in hexadecimal.

    Raises:
        OSError: if the server cannot be reached, or could not be a moment ago, or the file cannot be written.
        ValueError: if the checksum is wrong.
    """
    import pooch  # type: ignore[import-untyped]  # pooch carries no types

    when, refusal = _refusals.get(url, (0.0, None))
    if refusal is not None and time.monotonic() - when < REFUSAL_SECONDS:
        raise refusal
    staging = path.parent / ".download"
    shutil.rmtree(staging, ignore_errors=True)  # left by a process that was killed
    source = pooch.create(
        staging, base_url="", registry={path.name: f"md5:{md5}"}, urls={path.name: url}, retry_if_failed=RETRIES
    )
    reader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=2**16,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
        hooks={"response": _close_refusal},
    )
    try:
        os.replace(source.fetch(path.name, downloader=reader), path)
    except (OSError, ValueError) as error:
        _refusals[url] = time.monotonic(), error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _close_refusal(response: "Response", *_: object, **__: object) -> None:
    """Closes the connection after an error response, which pooch leaves open."""
    if not response.ok:
        response.close()


def failure(error: Exception) -> str:
    """Describes in a few words why a download failed; the libraries' own messages fill several lines."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    if isinstance(error, ValueError):
        return "the file does not have the expected MD5 checksum"
    return " ".join(str(error).split()) or repr(error)
