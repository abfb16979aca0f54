"""Building the preloaded library, talking to it from inside a process, and reading its traces."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "recorder.c"


def compiler() -> str | None:
    """The system's C compiler."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "recorder.so"
    command = [
        str(compiler()),
        "-O1",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(SOURCE),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True)
    return library


class Recorder:
    """The library in this process, which must have been started with it preloaded."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)

    def begin(self, folder: str, *, trace: str = "", kill_at: int = 0, torn: bool = False) -> None:
        """Count from here; at operation ``kill_at`` (0: never) the process dies."""
        arguments = (folder.encode(), trace.encode(), ctypes.c_long(kill_at), ctypes.c_long(torn))
        self._library.crash_begin(*arguments)

    def fail(self, kinds: str, start: int, count: int, error: int) -> None:
        """From the ``start``-th operation of these kinds on, ``count`` of them fail with ``error``."""
        numbers = (ctypes.c_long(value) for value in (start, count, error))
        self._library.crash_fail(kinds.encode(), *numbers)

    def note(self, text: str) -> None:
        """A remark in the trace."""
        self._library.crash_note(text.encode())

    def end(self) -> None:
        """Stop, and finish the trace."""
        self._library.crash_end()


@dataclass(frozen=True, slots=True)
class Operation:
    """One recorded operation; ``kind`` is a letter of recorder.c."""

    kind: str
    fd: int
    number: int
    path: str
    data: bytes


def read_trace(path: Path) -> Iterator[Operation]:
    """The operations in order."""
    content = path.read_bytes()
    head = struct.Struct("=ciqII")
    place = 0
    while place < len(content):
        kind, fd, number, path_length, data_length = head.unpack_from(content, place)
        place += head.size
        name = content[place : place + path_length].decode()
        place += path_length
        yield Operation(kind.decode(), fd, number, name, content[place : place + data_length])
        place += data_length
