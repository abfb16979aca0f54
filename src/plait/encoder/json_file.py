"""JSON files of checkpoints: every value is checked as it is taken, and errors name the file and the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plait.errors import CheckpointError

_ABSENT = object()


class JsonFile:
    """One JSON object of a file, or a part of it."""

    def __init__(self, path: Path, values: dict[str, Any], inside: str = "") -> None:
        self.path = path
        self.values = values
        self._inside = inside

    @classmethod
    def read(cls, path: Path) -> JsonFile:
        """Read a file that holds a JSON object.

        Raises:
            CheckpointError: it is missing, is no JSON, or holds something else.
        """
        values = read_json(path)
        if not isinstance(values, dict):
            raise CheckpointError(f"{path}: must hold a JSON object, not {type(values).__name__}")
        return cls(path, values)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self.values.get(key) is not None

    def error(self, key: str, problem: str) -> CheckpointError:
        """An error about a key of this file."""
        return CheckpointError(f"{self.path}: {self._inside}{key} {problem}")

    def count(self, key: str, default: Any = _ABSENT, least: int = 1, most: int = 1 << 24) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.error(key, f"must be a whole number from {least} to {most}, not {value!r}")
        return value

    def number(self, key: str, default: Any = _ABSENT) -> float:
        """A positive number."""
        value = self._take(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise self.error(key, f"must be a positive number, not {value!r}")
        return float(value)

    def text(self, key: str, default: Any = _ABSENT) -> str:
        """A string."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"must be a string, not {value!r}")
        return value

    def flag(self, key: str, default: Any = _ABSENT) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {value!r}")
        return value

    def texts(self, key: str, default: Any = _ABSENT) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"must be a list of strings, not {value!r}")
        return tuple(value)

    def part(self, key: str) -> JsonFile:
        """The object under a key."""
        value = self._take(key, _ABSENT)
        if not isinstance(value, dict):
            raise self.error(key, f"must be a JSON object, not {value!r}")
        return JsonFile(self.path, value, f"{self._inside}{key}: ")

    def _take(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is not None:
            return value
        if default is _ABSENT:
            raise self.error(key, "is missing")
        return default


def read_json(path: Path) -> Any:
    """Parse a file; raises CheckpointError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: the file is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: can't be read as JSON ({error})") from error
