"""Documents -> JSON lines, so that nobody is locked in. ``sources`` reads them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from plait.store import Segment, Snapshot
from plait.store.format import unfinished_path
from plait.threads import row_blocks
from plait.types import Progress

#: Documents read from the catalog at a time.
DOCUMENTS_PER_READ = 500
#: Digits after the point of a vector's component: their error is below that of every codec.
DIGITS = 6


def export_documents(
    snapshot: Snapshot,
    file: str | Path | TextIO,
    *,
    vectors: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write one JSON object for each document, in order of insertion: ``id``, ``text``, ``metadata``.

    Args:
        snapshot: whose documents.
        file: a path, which gets its name once the file is whole, or a text file open for writing.
        vectors: also write ``vectors``, one list of numbers for each token: as stored, reconstructed if they
            are compressed.
        progress: called with "export", how many documents are done, and how many there are.

    Returns:
        How many documents there were.
    """
    if not isinstance(file, str | Path):
        return _write(snapshot, file, vectors, progress)
    path = Path(file)
    unfinished = unfinished_path(path)
    try:
        with unfinished.open("w", encoding="utf-8") as opened:
            count = _write(snapshot, opened, vectors, progress)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return count


def _write(snapshot: Snapshot, file: TextIO, vectors: bool, progress: Progress | None) -> int:
    pids, places = _live(snapshot)
    for rows in row_blocks(len(pids), DOCUMENTS_PER_READ):
        documents = snapshot.documents(pids[rows].tolist())
        stored = _vectors(snapshot.segments, places[rows]) if vectors else iter(())
        for pid in pids[rows].tolist():
            document = documents[pid]
            record: dict[str, Any] = {"id": document.id}
            if document.text is not None:
                record["text"] = document.text
            if document.metadata:
                record["metadata"] = document.metadata
            if vectors:
                record["vectors"] = next(stored)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        if progress:
            progress("export", rows.stop, len(pids))
    return len(pids)


def _live(snapshot: Snapshot) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """pids i64 ``[n]``, ascending, and where each document is: segment and doc i64 ``[n, 2]``."""
    pids, places = [np.empty(0, dtype=np.int64)], [np.empty((0, 2), dtype=np.int64)]
    for number, segment in enumerate(snapshot.segments):
        docs = np.arange(segment.ndocs) if segment.alive is None else np.flatnonzero(segment.alive)
        pids.append(segment.pids[docs])
        places.append(np.stack([np.full(len(docs), number), docs], axis=1))
    joined = np.concatenate(pids)
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate(places)[order]


def _vectors(segments: list[Segment], places: npt.NDArray[np.int64]) -> Iterator[list[list[float]]]:
    for number, doc in places.tolist():
        found, _ = segments[number].vectors(np.array([doc], dtype=np.uint32))
        yield np.round(found.astype(np.float64), DIGITS).tolist()
