"""Indexes of fast-plaid (1.4 to 1.7) and next-plaid: arrays of NumPy, a pair for each chunk, or merged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from plait.codec import ResidualCodec
from plait.errors import ForeignIndexError
from plait.importers.foreign import (
    MAX_CHUNKS,
    Array,
    Chunk,
    Doclens,
    ForeignIndex,
    checked_chunk,
    checked_codec,
    read_doclens,
    read_json,
    read_npy,
    whole_number,
)
from plait.importers.metadata_db import read_metadata
from plait.types import Document, offsets_of

MERGED = ("merged_codes.npy", "merged_residuals.npy")


def recognise(folder: Path) -> bool:
    """Whether the folder looks like such an index."""
    return (folder / "centroids.npy").exists() or (folder / "bucket_weights.npy").exists()


def read(folder: Path) -> ForeignIndex:
    """Open an index; its documents are called by their place, as fast-plaid does, and have its metadata."""
    path = folder / "metadata.json"
    facts = read_json(path, dict)
    nbits = whole_number(path, facts, "nbits", 1, 8)
    names = tuple(folder / f"{name}.npy" for name in ("centroids", "bucket_cutoffs", "bucket_weights"))
    arrays = tuple(read_npy(name) for name in names)
    if arrays[0].ndim != 2:
        raise ForeignIndexError(names[0], f"has the shape {arrays[0].shape}, but a matrix is expected")
    codec = checked_codec(names, arrays, arrays[0].shape[1], nbits)
    if facts.get("num_partitions", codec.ncentroids) != codec.ncentroids:
        raise ForeignIndexError(
            names[0], f"holds {codec.ncentroids} centroids, but metadata.json says {facts['num_partitions']}"
        )
    chunks = [
        read_doclens(folder / f"doclens.{number}.json")
        for number in range(whole_number(path, facts, "num_chunks", 1, MAX_CHUNKS))
    ]
    doclens = np.concatenate(chunks)
    if facts.get("num_documents", len(doclens)) != len(doclens):
        raise ForeignIndexError(
            path, f"says {facts['num_documents']} documents, but the files doclens.*.json have {len(doclens)}"
        )
    metadata = read_metadata(folder / "metadata.db", len(doclens))
    return ForeignIndex(
        "next-plaid" if "next_plaid_compatible" in facts else "fast-plaid",
        codec,
        doclens,
        lambda: _chunks(folder, codec, chunks),
        [Document(str(place), None, metadata.get(place, {})) for place in range(len(doclens))],
    )


def _chunks(folder: Path, codec: ResidualCodec, chunks: list[Doclens]) -> Iterator[Chunk]:
    if not (folder / "0.codes.npy").exists() and (folder / MERGED[0]).exists():
        yield from _merged(folder, codec, chunks)
        return
    for number, doclens in enumerate(chunks):
        codes, residuals = folder / f"{number}.codes.npy", folder / f"{number}.residuals.npy"
        yield checked_chunk(codec, read_npy(codes), codes, read_npy(residuals), residuals, doclens)


def _merged(folder: Path, codec: ResidualCodec, chunks: list[Doclens]) -> Iterator[Chunk]:
    """Rows of all chunks in one file, and rows of zeros after them."""
    paths = [folder / name for name in MERGED]
    whole = [read_npy(path) for path in paths]
    offsets = offsets_of([int(doclens.sum()) for doclens in chunks])
    for path, array in zip(paths, whole, strict=True):
        if array.ndim == 0 or len(array) < offsets[-1]:
            raise ForeignIndexError(
                path, f"has the shape {array.shape}, but the documents have {offsets[-1]} tokens"
            )
    for doclens, (start, stop) in zip(chunks, pairwise(offsets), strict=True):
        rows: list[Array] = [array[start:stop] for array in whole]
        yield checked_chunk(codec, rows[0], paths[0], rows[1], paths[1], doclens)
