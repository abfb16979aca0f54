"""One writer at a time: SQLite's write lock decides, and a file beside the catalog names who has it."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plait.errors import IndexLocked, StoreError
from plait.store.connection import BUSY_TIMEOUT
from plait.store.format import holder_path

#: Seconds that a writer waits for another one, unless it is told otherwise.
LOCK_TIMEOUT = 30.0
#: Seconds between two tries: short at first, so that writers that take turns do not wait for long.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.02


def begin(connection: sqlite3.Connection, folder: Path, timeout: float | None) -> None:
    """Begin a write transaction, waiting for another writer up to ``timeout`` seconds.

    The waiting is done here, not in SQLite, so that Ctrl-C ends it.

    Raises:
        IndexLocked: the other one did not finish; tells who it is.
        StoreError: the catalog can't be written to.
    """
    timeout = LOCK_TIMEOUT if timeout is None else timeout
    end, pause = time.monotonic() + timeout, SHORTEST_PAUSE
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise StoreError(f"{folder} can't be written to: {error}") from error
                left = end - time.monotonic()
                if left <= 0:
                    raise IndexLocked(
                        f"{folder} is being written to by {_holder(folder)}; waited {timeout:g} s"
                    ) from error
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_TIMEOUT)}")


@contextmanager
def named(folder: Path, doing: str) -> Iterator[None]:
    """Say who holds the write lock, for as long as the block runs. The file is no lock: without it, or with
    one left by a writer that died, everything works.
    """
    path = holder_path(folder)
    note = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "doing": doing,
    }
    with suppress(OSError):  # a full disk will be met where it matters
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w") as file:
            json.dump(note, file)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _holder(folder: Path) -> str:
    """Who holds the lock, as far as can be told."""
    try:
        with holder_path(folder).open(encoding="utf-8") as file:
            note = json.loads(file.read(1000))
        pid, host, since, doing = (note[key] for key in ("pid", "host", "since", "doing"))
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return f"this process, through another Index or thread ({doing}, since {since})"
    return f"process {pid} on {host} ({doing}, since {since})"
