"""Outputs of the layers that are not trained, kept from one epoch and one run to the next.

A text's outputs depend on its tokens and the frozen weights only, so they are made once. They are kept as
f16, and used as f16 also when they were just made: a run gives the same numbers with a cold and a warm cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import struct
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from plait.errors import InvalidParameter

Half = npt.NDArray[np.float16]

_RECORD = struct.Struct("<16sqi")
"""In the list of what is kept: a key, the first row, and the number of rows."""


class Outputs(Protocol):
    """A place for the outputs of frozen layers."""

    def get(self, key: bytes) -> Half | None:
        """``[tokens, width]``, if it is there."""
        ...

    def put(self, key: bytes, rows: Half) -> None:
        """Keep it, if there is room."""
        ...


class MemoryOutputs:
    """Outputs in memory."""

    def __init__(self, most_bytes: int) -> None:
        self._rows: dict[bytes, Half] = {}
        self._left = most_bytes

    def get(self, key: bytes) -> Half | None:
        """``[tokens, width]``, if it is there."""
        return self._rows.get(key)

    def put(self, key: bytes, rows: Half) -> None:
        """Keep it, if there is room."""
        if rows.nbytes <= self._left and key not in self._rows:
            self._rows[key] = rows
            self._left -= rows.nbytes


class FileOutputs:
    """Outputs in a file that runs with the same frozen layers share. One run at a time adds to it.

    The rows are written before the record that names them, so that a run that was killed leaves nothing
    wrong.
    """

    def __init__(self, folder: Path, width: int, most_bytes: int) -> None:
        """Open or make the files in ``folder``; what another run adds meanwhile is not seen."""
        folder.mkdir(parents=True, exist_ok=True)
        self._width = width
        self._most = most_bytes // (2 * width)
        self._file = (folder / "rows.f16").open("a+b")
        self._list = (folder / "keys.bin").open("a+b")
        self._writes = _lock(self._list)
        self._places: dict[bytes, tuple[int, int]] = {}
        self._count = 0
        self._read_list()

    def _read_list(self) -> None:
        rows = self._file.seek(0, 2) // (2 * self._width)
        self._list.seek(0)
        listed = self._list.read()
        whole = len(listed) - len(listed) % _RECORD.size
        for key, start, count in _RECORD.iter_unpack(listed[:whole]):
            if start < 0 or count < 0 or start + count > rows:
                raise InvalidParameter(f"{self._file.name}: is damaged; remove its folder")
            self._places[key] = (start, count)
            self._count = max(self._count, start + count)
        if self._writes:
            self._list.truncate(whole)
            self._file.truncate(self._count * 2 * self._width)

    def get(self, key: bytes) -> Half | None:
        """``[tokens, width]``, if it is there."""
        place = self._places.get(key)
        if place is None:
            return None
        self._file.seek(place[0] * 2 * self._width)
        found = np.frombuffer(self._file.read(place[1] * 2 * self._width), dtype="<f2")
        return found.reshape(place[1], self._width)

    def put(self, key: bytes, rows: Half) -> None:
        """Keep it, if there is room."""
        if not self._writes or key in self._places or self._count + len(rows) > self._most:
            return
        self._file.write(rows.astype("<f2", copy=False).tobytes())
        self._file.flush()
        self._list.write(_RECORD.pack(key, self._count, len(rows)))
        self._list.flush()
        self._places[key] = (self._count, len(rows))
        self._count += len(rows)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._list.close()


def key_of(ids: npt.NDArray[np.int64], attended: npt.NDArray[np.int64]) -> bytes:
    """16 bytes that stand for a tokenised text."""
    digest = hashlib.blake2b(ids.tobytes(), digest_size=16)
    digest.update(attended.tobytes())
    return digest.digest()


def _lock(file: IO[bytes]) -> bool:
    """Whether this process is the one that may add."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
