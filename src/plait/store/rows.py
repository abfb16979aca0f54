"""Rows of the catalog, checked: SQLite lets any column hold anything, and a file may be damaged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.errors import IndexCorrupt
from plait.types import Document


@dataclass(frozen=True, slots=True)
class CodecRow:
    """One trained codec; ``kind`` is "scaled", "residual" or "float32"."""

    codec: int
    kind: str
    nbits: int | None
    ncentroids: int | None
    trained_for: int
    checksums: dict[str, int]


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One live segment."""

    segment: int
    codec: int
    ndocs: int
    ntokens: int
    checksums: dict[str, int]


@dataclass(frozen=True, slots=True)
class Rows:
    """Turns values into what they must be, or raises IndexCorrupt that names the file.

    Attributes:
        path: of the catalog.
    """

    path: Path

    def number(self, value: Any, what: str) -> int:
        """A whole number of at least 0."""
        if not isinstance(value, int) or value < 0:
            raise IndexCorrupt(self.path, f"{what} is {_short(value)}, not a number of at least 0")
        return value

    def number_or_none(self, value: Any, what: str) -> int | None:
        """Likewise, or NULL."""
        return None if value is None else self.number(value, what)

    def text(self, value: Any, what: str) -> str:
        """A string."""
        if not isinstance(value, str):
            raise IndexCorrupt(self.path, f"{what} is {_short(value)}, not a text")
        return value

    def json(self, value: Any, what: str) -> Any:
        """What a JSON text stands for."""
        try:
            return json.loads(self.text(value, what))
        except (ValueError, RecursionError) as error:
            raise IndexCorrupt(self.path, f"{what} is not JSON ({error})") from error

    def json_object(self, value: Any, what: str) -> dict[str, Any]:
        """A JSON object."""
        found = self.json(value, what)
        if not isinstance(found, dict):
            raise IndexCorrupt(self.path, f"{what} is {_short(found)}, not a JSON object")
        return found

    def checksums(self, value: Any, what: str) -> dict[str, int]:
        """The CRC-32 of each array."""
        found = self.json_object(value, f"the list of checksums of {what}")
        return {name: self.number(crc, f"the checksum of {name} of {what}") for name, crc in found.items()}

    def codec(
        self, codec: int, kind: Any, nbits: Any, ncentroids: Any, trained_for: Any, checksums: Any
    ) -> CodecRow:
        """A row of ``codec``."""
        what = f"codec {codec}"
        return CodecRow(
            codec,
            self.text(kind, f"the kind of {what}"),
            self.number_or_none(nbits, f"nbits of {what}"),
            self.number_or_none(ncentroids, f"ncentroids of {what}"),
            self.number(trained_for, f"trained_for of {what}"),
            self.checksums(checksums, what),
        )

    def segment(self, segment: int, codec: Any, ndocs: Any, ntokens: Any, checksums: Any) -> SegmentRow:
        """A row of ``segment``."""
        what = f"segment {segment}"
        return SegmentRow(
            segment,
            self.number(codec, f"the codec of {what}"),
            self.number(ndocs, f"ndocs of {what}"),
            self.number(ntokens, f"ntokens of {what}"),
            self.checksums(checksums, what),
        )

    def document(self, pid: int, key: Any, text: Any, metadata: Any) -> Document:
        """A document."""
        what = f"of the document with the pid {pid}"
        return Document(
            self.text(key, f"the id {what}"),
            None if text is None else self.text(text, f"the text {what}"),
            {} if not metadata else self.json_object(metadata, f"the metadata {what}"),
        )


def _short(value: Any) -> str:
    return repr(value)[:60]
