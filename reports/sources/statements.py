"""Statements of verifiers beside a bundle: what they found, and by whose key they are signed."""

import hashlib
import re
import subprocess
from pathlib import Path

from adaptbench.reports.bundle_format import Statement
from adaptbench.reports.reading import Unreadable, read

NAMESPACE = "adaptbench"
"""What a signature is for, as `ssh-keygen -Y sign -n` wants it."""


def statement_path(bundle: Path) -> Path:
    """Where the statement about a bundle lies."""
    return bundle.with_name(f"{bundle.name}.statement.json")


def verified(bundle: Path) -> str:
    """What a verifier found, and whose key signed it; empty if there is no statement about this very file."""
    path = statement_path(bundle)
    try:
        found = read(path, Statement)
    except Unreadable:
        return ""
    if found.bundle != hashlib.sha256(bundle.read_bytes()).hexdigest():
        return ""
    return f"{agreement(found)}, {_signer(path)}"


def agreement(statement: Statement) -> str:
    """How many sampled runs agree, those to the bit counted apart, and how they were sampled."""
    agreed = [each for each in statement.sampled if each.difference is None]
    exact = sum(each.exact for each in agreed)
    loosely = f", {exact} to the bit and {len(agreed) - exact} within a tolerance" if exact < len(agreed) else ""
    chosen = "a random seed" if statement.seed_drawn else "a seed of the verifier's choice"
    what = f"drawn from {statement.runs} by {chosen}" if len(statement.sampled) < statement.runs else "all there are"
    return f"{len(agreed)} of {len(statement.sampled)} sampled runs agree{loosely} ({what})"


def _signer(path: Path) -> str:
    """The fingerprint of the key that signed a file; whose key it is, the reader has to know."""
    signature = path.with_name(f"{path.name}.sig")
    if not signature.is_file():
        return "not signed"
    command = ["ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signature)]
    try:
        done = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "signature not checked"
    key = re.search(r"SHA256:[A-Za-z0-9+/]+", done.stdout.decode(errors="replace"))
    return f"signed by key {key.group()}" if done.returncode == 0 and key else "wrong signature"
