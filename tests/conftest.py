"""Shared material: clustered random token vectors and small indexes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import plait
from plait.types import TokenEmbeddings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def clustered(ndocs: int, dim: int = 32, seed: int = 0, doclen: tuple[int, int] = (5, 60)) -> TokenEmbeddings:
    """Unit vectors as those of real text: a document has a topic, a topic has its directions."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(50, 20, dim))
    lengths = rng.integers(*doclen, size=ndocs)
    topics = np.repeat(rng.integers(len(directions), size=ndocs), lengths)
    rows = directions[topics, rng.integers(20, size=lengths.sum())]
    rows = rows + 0.6 * rng.normal(size=rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return TokenEmbeddings(rows.astype(np.float32), lengths)


def exact_top(query: np.ndarray, documents: TokenEmbeddings, k: int) -> list[tuple[str, float]]:
    """The best k by MaxSim in f64, as (id, score)."""
    scores = np.array([(query.astype(float) @ doc.T.astype(float)).max(axis=1).sum() for doc in documents])
    return [(str(place), scores[place]) for place in np.argsort(-scores, kind="stable")[:k]]


@pytest.fixture(scope="session")
def documents() -> TokenEmbeddings:
    """3,000 documents of about 30 tokens: enough for a codec and for candidates."""
    return clustered(3000)


@pytest.fixture(scope="session")
def shared_index(documents: TokenEmbeddings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of ``documents``, ids "0", "1", ...; not to be written to."""
    path = tmp_path_factory.mktemp("shared") / "index"
    with plait.Index.create(path, dim=documents.dim) as index:
        index.add(vectors=documents)
    return path


@pytest.fixture(scope="session")
def residual_index(documents: TokenEmbeddings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of ``documents`` with ColBERTv2's codec; not to be written to."""
    path = tmp_path_factory.mktemp("residual") / "index"
    with plait.Index.create(path, dim=documents.dim, nbits=4) as index:
        index.add(vectors=documents)
    return path


@pytest.fixture
def small(tmp_path: Path) -> plait.Index:
    """A new index of 20 documents, small enough to keep the original vectors."""
    index = plait.Index.create(tmp_path / "small", dim=32)
    index.add(vectors=clustered(20), metadata=[{"number": number} for number in range(20)])
    return index
