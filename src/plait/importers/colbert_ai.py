"""Indexes of colbert-ai: tensors in torch's files, one set of files for each chunk of passages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from plait.codec import ResidualCodec
from plait.errors import ForeignIndexError
from plait.importers.collection import find_collection
from plait.importers.foreign import (
    MAX_CHUNKS,
    Chunk,
    Doclens,
    ForeignIndex,
    checked_chunk,
    checked_codec,
    read_doclens,
    read_json,
    read_tensor,
    read_tensors,
    whole_number,
)
from plait.types import Document


def recognise(folder: Path) -> bool:
    """Whether the folder looks like such an index."""
    return (folder / "centroids.pt").exists() or (folder / "buckets.pt").exists()


def read(folder: Path, tool: str = "colbert-ai") -> ForeignIndex:
    """Open an index; its passages are called by their number, as colbert-ai does."""
    path = folder / "metadata.json"
    facts = read_json(path, dict)
    config = facts.get("config")
    if not isinstance(config, dict):
        raise ForeignIndexError(path, "has no config")
    codec = _codec(folder, path, config)
    chunks = [
        read_doclens(folder / f"doclens.{number}.json")
        for number in range(whole_number(path, facts, "num_chunks", 1, MAX_CHUNKS))
    ]
    doclens = np.concatenate(chunks)
    _check_metadata(folder, chunks)
    texts = find_collection(folder, config.get("collection"), len(doclens))
    documents = [Document(str(pid), texts[pid] if texts else None) for pid in range(len(doclens))]
    checkpoint = config.get("checkpoint")
    return ForeignIndex(
        tool,
        codec,
        doclens,
        lambda: _chunks(folder, codec, chunks),
        documents,
        checkpoint if isinstance(checkpoint, str) else None,
    )


def _codec(folder: Path, path: Path, config: dict[str, Any]) -> ResidualCodec:
    nbits = whole_number(path, config, "nbits", 1, 8)
    dim = whole_number(path, config, "dim", 1, 65_536)
    names = (folder / "centroids.pt", folder / "buckets.pt", folder / "buckets.pt")
    centroids = read_tensor(names[0])
    cutoffs, weights = read_tensors(names[1], 2)
    return checked_codec(names, (centroids, cutoffs, weights), dim, nbits)


def _check_metadata(folder: Path, chunks: list[Doclens]) -> None:
    """Each chunk says where it begins: files of two indexes in one folder do not fit."""
    passages = 0
    for number, doclens in enumerate(chunks):
        path = folder / f"{number}.metadata.json"
        facts = read_json(path, dict)
        if (offset := whole_number(path, facts, "passage_offset")) != passages:
            raise ForeignIndexError(path, f"begins at passage {offset}, but {passages} come before it")
        if (count := whole_number(path, facts, "num_passages")) != len(doclens):
            raise ForeignIndexError(
                path, f"says {count} passages, but doclens.{number}.json has {len(doclens)}"
            )
        passages += count


def _chunks(folder: Path, codec: ResidualCodec, chunks: list[Doclens]) -> Iterator[Chunk]:
    for number, doclens in enumerate(chunks):
        codes, residuals = folder / f"{number}.codes.pt", folder / f"{number}.residuals.pt"
        yield checked_chunk(codec, read_tensor(codes), codes, read_tensor(residuals), residuals, doclens)
