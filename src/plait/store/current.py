"""The state that an open index shows: a snapshot, exchanged for a newer one when there is one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from plait.errors import IndexClosed
from plait.store.catalog import Catalog
from plait.store.reader import Snapshot, open_snapshot


class Current:
    """The snapshot that is read from, for several threads.

    A snapshot that was exchanged is closed when the last reading of it ends.

    Args:
        folder: of the index.
        auto_refresh: look for new commits before each reading.
    """

    def __init__(self, folder: Path, auto_refresh: bool) -> None:
        self._folder = folder
        self._auto_refresh = auto_refresh
        self._lock = threading.Lock()  # over the snapshot and the leases
        self._looking = threading.Lock()  # over the watch; threads wait while one opens the new state
        self._leases: Counter[int] = Counter()
        self._held = threading.local()
        self._watch = Catalog.open(folder)
        try:
            self._seen = self._watch.version()
            self._snapshot: Snapshot | None = open_snapshot(folder)
        except BaseException:
            self._watch.close()
            raise

    @contextmanager
    def reading(self, *, newest: bool = True) -> Iterator[Snapshot]:
        """The snapshot, kept open until the block ends.

        Args:
            newest: look for new commits first, if that is wanted of this index.
        """
        held: Snapshot | None = getattr(self._held, "snapshot", None)
        if held is not None:
            yield held
            return
        if newest and self._auto_refresh:
            self._refresh_if_changed()
        with self._lock:
            snapshot = self._open_one()
            self._leases[id(snapshot)] += 1
        try:
            yield snapshot
        finally:
            with self._lock:
                self._leases[id(snapshot)] -= 1
                if not self._leases[id(snapshot)]:
                    del self._leases[id(snapshot)]
                    if snapshot is not self._snapshot:
                        snapshot.close()

    @contextmanager
    def holding(self, snapshot: Snapshot | None = None) -> Iterator[Snapshot]:
        """All readings of this thread until the block ends see one snapshot.

        Args:
            snapshot: one that another thread is holding for as long; None for the newest, or for the one
                that this thread holds already.
        """
        with self.reading() if snapshot is None else nullcontext(snapshot) as held:
            before = getattr(self._held, "snapshot", None)
            self._held.snapshot = held
            try:
                yield held
            finally:
                self._held.snapshot = before

    def latest(self) -> Snapshot:
        """The snapshot at this moment, to take segments and codecs from; it may be closed meanwhile."""
        with self._lock:
            return self._open_one()

    def refresh(self) -> None:
        """Show the newest committed state."""
        with self._looking:
            with self._lock:
                earlier = self._open_one()
            seen = self._look()
            fresh = open_snapshot(self._folder, earlier)
            with self._lock:
                if self._snapshot is None:  # closed by another thread meanwhile
                    fresh.close()
                    self._open_one()
                self._snapshot, self._seen = fresh, seen
                if not self._leases[id(earlier)]:
                    earlier.close()

    def _look(self) -> tuple[int, ...] | None:
        """The version of what is at the path now, read before the snapshot: that is as new, or newer."""
        version = self._watch.version()
        if version and self._seen and version[1] == self._seen[1]:
            return version
        watch = Catalog.open(self._folder)  # another file is there
        self._watch.close()
        self._watch = watch
        return watch.version()

    def _refresh_if_changed(self) -> None:
        with self._looking:
            with self._lock:
                self._open_one()
            version = self._watch.version()
        if version not in (None, self._seen):  # of a folder that was moved away, what is open stays
            self.refresh()

    def close(self) -> None:
        """Let go of the files, as soon as the last reading ends."""
        with self._looking, self._lock:
            snapshot, self._snapshot = self._snapshot, None
            self._watch.close()
            if snapshot is not None and not self._leases[id(snapshot)]:
                snapshot.close()

    def _open_one(self) -> Snapshot:
        if self._snapshot is None:
            raise IndexClosed(f"the index {self._folder} was closed")
        return self._snapshot
