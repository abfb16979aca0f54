"""The corpus of tests/golden/foreign: the same vectors, texts and queries for each tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

NDOCS, DIM, NQUERIES = 60, 32, 4


def vectors() -> list[np.ndarray]:
    """Unit vectors f32 ``[ntokens, dim]`` of each document.

    They lean to one side, as a real encoder's do, so that every best match is positive: colbert-ai on a CPU
    takes 0 in place of a negative one.
    """
    rng = np.random.default_rng(5)
    directions = rng.normal(size=(24, DIM)) + 2.0
    documents = []
    for length in rng.integers(3, 12, size=NDOCS):
        rows = directions[rng.integers(24, size=length)] + 0.4 * rng.normal(size=(length, DIM))
        documents.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return documents


def texts() -> list[str]:
    """One text for each document; each is another."""
    return [f"passage {number} says éé {number * number}" for number in range(NDOCS)]


def queries() -> np.ndarray:
    """Unit vectors f32 ``[NQUERIES, 6, dim]``, near tokens of documents."""
    documents = vectors()
    rng = np.random.default_rng(6)
    found = np.stack([np.resize(documents[7 * number + 3], (6, DIM)) for number in range(NQUERIES)])
    found = found + 0.3 * rng.normal(size=found.shape)
    return (found / np.linalg.norm(found, axis=2, keepdims=True)).astype(np.float32)


def write_hits(path: Path, hits: list[list[tuple[Any, float]]]) -> None:
    """Keep every document's score for every query, best first, as (what the tool calls it, score)."""
    rounded = [[(key, round(float(score), 6)) for key, score in one] for one in hits]
    path.write_text(json.dumps(rounded) + "\n", encoding="utf-8")
