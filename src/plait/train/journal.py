"""A file of results, one line each, that a killed run leaves behind and the next one goes on from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plait.errors import InvalidParameter


class Journal:
    """Results in order. The first line says of which work they are; half a last line is cut off.

    A context manager, which closes the file.
    """

    def __init__(self, path: Path, work: str) -> None:
        """Open the journal, or begin one.

        Args:
            path: its file.
            work: a hash of everything the results depend on.

        Raises:
            InvalidParameter: what is there belongs to other work.
        """
        self.path = path
        self.done = 0
        whole = 0
        if path.exists():
            whole = self._count_whole_lines(work)
        self._file = path.open("r+b" if whole else "wb")
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._file.write(_first_line(work))

    def _count_whole_lines(self, work: str) -> int:
        """How many bytes of the file are whole lines."""
        whole = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                if number == 0 and line != _first_line(work):
                    raise InvalidParameter(
                        f"{self.path} is left of a run with other settings or other data: remove it, or "
                        f"choose another output"
                    )
                whole += len(line)
                self.done = number
        return whole

    def append(self, results: list[Any]) -> None:
        """Write results; they are on the disk when this returns."""
        for result in results:
            self._write(result)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done += len(results)

    def _write(self, value: Any) -> None:
        self._file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")

    def results(self) -> Iterator[Any]:
        """All results so far, in order."""
        self._file.flush()
        with self.path.open("rb") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _first_line(work: str) -> bytes:
    return json.dumps({"work": work}).encode() + b"\n"
