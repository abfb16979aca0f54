"""What a result depends on, as a hash: equal only for equal values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def hash_of(*values: Any) -> str:
    """SHA-256 (64 hex digits) over values that JSON can hold; tuples count as lists."""
    total = hashlib.sha256()
    for value in values:
        for piece in json.JSONEncoder(sort_keys=True).iterencode(value):
            total.update(piece.encode())
        total.update(b"\n")
    return total.hexdigest()


def hash_files(path: Path) -> str:
    """SHA-256 over the names and contents of a file, or of all files of a folder."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    total = hashlib.sha256()
    for one in files:
        with one.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{one.relative_to(path).as_posix()} {content}\n".encode())
    return total.hexdigest()
