"""Several changes, one commit: the write transactions of one open index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plait.errors import IndexLocked, StoreError
from plait.store import lock
from plait.store.reader import Snapshot
from plait.store.writer import IndexWriter, WriteOptions, writing


class Transactions:
    """At most one write transaction at a time; a change joins the one that its own thread has begun.

    Args:
        folder: of the index.
        latest: gives a snapshot whose codecs and segments need not be opened again.
        committed: called after each commit, with the writer that is done.
    """

    def __init__(
        self, folder: Path, latest: Callable[[], Snapshot], committed: Callable[[IndexWriter], None]
    ) -> None:
        self._folder = folder
        self._latest = latest
        self._committed = committed
        self._lock = threading.RLock()  # other threads wait; the same thread joins
        self._writer: IndexWriter | None = None

    @property
    def begun(self) -> bool:
        """Whether a transaction is going on."""
        return self._writer is not None

    @contextmanager
    def __call__(self, options: WriteOptions) -> Iterator[IndexWriter]:
        """A transaction, or a part of the one that this thread has begun.

        What raises is undone: the part, or all of it.

        Raises:
            IndexLocked: another process, or thread, did not finish within the time of the options.
        """
        timeout = lock.LOCK_TIMEOUT if options.timeout is None else options.timeout
        if not self._lock.acquire(timeout=timeout):
            raise IndexLocked(
                f"{self._folder} is being written to by another thread of this process; waited {timeout:g} s"
            )
        try:
            if self._writer is None:
                yield from self._begin(options)
            else:
                yield from self._join(self._writer, options)
        finally:
            self._lock.release()

    def _begin(self, options: WriteOptions) -> Iterator[IndexWriter]:
        with writing(self._folder, options, self._latest()) as writer:
            self._writer = writer
            try:
                yield writer
            finally:
                self._writer = None
        try:
            self._committed(writer)
        except StoreError as error:
            raise StoreError(f"the change was committed, but it can't be shown: {error}") from error

    def _join(self, writer: IndexWriter, options: WriteOptions) -> Iterator[IndexWriter]:
        outer, writer.options = writer.options, options
        try:
            with writer.part():
                yield writer
        finally:
            writer.options = outer
