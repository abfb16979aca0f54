"""A copy of one committed state of an index, while others search and write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plait.errors import IndexAlreadyExists, IndexCorrupt
from plait.store import format as layout
from plait.store.reader import OPEN_TRIES, Snapshot, open_snapshot
from plait.threads import row_blocks
from plait.types import Progress

#: Bytes copied at a time.
COPY_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class _Array:
    """One mapped file: it can be read even when a writer removes its name meanwhile."""

    source: Path
    rows: layout.Array
    dtype: str
    checksum: int | None


def backup(
    folder: Path, destination: Path, *, hard_links: bool = False, progress: Progress | None = None
) -> None:
    """Copy the newest committed state. Nobody waits, and nobody is waited for.

    The catalog comes last, so that a copy that was cut off is no index. Each array is compared with its
    checksum on the way.

    Args:
        folder: of the index.
        destination: a folder that does not exist yet.
        hard_links: share the files of segments with the index where the system can, instead of copying them:
            they never change, and take no room twice, but damage to the disk meets both.
        progress: called with "copy", how many bytes are done, and how many there are.

    Raises:
        IndexAlreadyExists: something is at ``destination``.
        IndexCorrupt: an array does not match its checksum.
        StoreError: the system refused to write.
    """
    if destination.exists():
        raise IndexAlreadyExists(f"{destination} exists already; choose another folder for the backup")
    snapshot, arrays = _mapped(folder)
    try:
        destination.mkdir(parents=True)
        try:
            _copy_all(arrays, folder, destination, hard_links, progress)
            snapshot.copy_catalog(destination)
            layout.sync_folder(destination.parent)
        except BaseException:
            shutil.rmtree(destination, ignore_errors=True)
            raise
    finally:
        snapshot.close()


def _mapped(folder: Path) -> tuple[Snapshot, list[_Array]]:
    """A snapshot and all files that its catalog lists; again, if a writer removes one of them meanwhile."""
    for attempt in range(OPEN_TRIES):
        snapshot = open_snapshot(folder)
        try:
            return snapshot, list(_listed(snapshot))
        except IndexCorrupt as error:
            snapshot.close()
            if attempt == OPEN_TRIES - 1 or not isinstance(error.__cause__, FileNotFoundError):
                raise
        except BaseException:
            snapshot.close()
            raise
    raise AssertionError


def _listed(snapshot: Snapshot) -> Iterator[_Array]:
    for codec in snapshot.codec_rows.values():
        source = layout.codec_path(snapshot.folder, codec.codec)
        for name, dtype in layout.CODEC_ARRAYS.get(codec.kind, {}).items():
            yield _Array(
                source / f"{name}.npy",
                layout.read_array(source, name, dtype, None),
                dtype,
                codec.checksums.get(name),
            )
    for row, segment in zip(snapshot.segment_rows, snapshot.segments, strict=True):
        for name, array in segment.arrays.items():
            path = segment.folder / f"{name}.npy"
            yield _Array(path, array, array.dtype.str, row.checksums.get(name))


def _copy_all(
    arrays: list[_Array], folder: Path, destination: Path, hard_links: bool, progress: Progress | None
) -> None:
    total, done = sum(array.rows.nbytes for array in arrays), 0
    targets = {array.source.parent: destination / array.source.parent.relative_to(folder) for array in arrays}
    for target in targets.values():
        target.mkdir(parents=True)
    for array in arrays:
        target = targets[array.source.parent]
        if not (hard_links and _linked(array.source, target / array.source.name)):
            _copy(array, target)
        done += array.rows.nbytes
        if progress:
            progress("copy", done, total)
    for target in targets.values():
        layout.sync_folder(target)
    for parent in {target.parent for target in targets.values()}:
        layout.sync_folder(parent)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # another disk, or the file was replaced meanwhile
        return False
    return True


def _copy(array: _Array, target: Path) -> None:
    stream = layout.ArrayStream(target, array.source.stem, array.dtype, array.rows.shape[1:])
    try:
        each = max(1, array.rows.nbytes // max(1, len(array.rows)))
        for rows in row_blocks(len(array.rows), max(1, COPY_BYTES // each)):
            stream.append(array.rows[rows])
        found = stream.close()
    finally:
        stream.abandon()
    layout.let_go(array.rows)
    if found != array.checksum:
        raise IndexCorrupt(
            array.source, "does not match its checksum: `plait repair` saves what can be saved"
        )
