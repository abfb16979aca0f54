"""Pickles of dicts, lists, strings and numbers, read without running anything.

A pickle can do harm only by what it calls, and it can call only what it names. Here nothing can be named.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, NoReturn

from plait.errors import ForeignIndexError


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(
            f"it names {module}.{name}, and nothing that a pickle names is loaded: "
            f"only dicts, lists, strings and numbers are read"
        )


def read_plain_pickle(path: Path) -> Any:
    """What ``pickle.dump`` wrote of plain values.

    Raises:
        ForeignIndexError: the file is missing, is damaged, or holds anything but plain values.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ForeignIndexError(path, "is missing") from error
    except OSError as error:
        raise ForeignIndexError(path, f"can't be read ({error.strerror or error})") from error
    return plain_value(content, path)


def plain_value(content: bytes, path: Path) -> Any:
    """What ``pickle.dumps`` made of plain values; ``path`` is where it was, for the message."""
    try:
        return _Plain(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle fails in any way
        raise ForeignIndexError(path, f"can't be read as a pickle of plain values: {error}") from error
