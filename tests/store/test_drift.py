"""Documents unlike those that an index was trained on: kept exact, then given a codec of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import plait
from plait.codec import ResidualCodec, ScaledCodec
from plait.store import choice, open_snapshot
from plait.types import TokenEmbeddings
from tests.conftest import exact_top

KINDS = {"scaled": {}, "residual": {"nbits": 4}}


def around(subject: int, ndocs: int) -> TokenEmbeddings:
    """Documents of 5 to 60 tokens around the 1,000 directions of a subject."""
    rng = np.random.default_rng(subject)
    directions = rng.normal(size=(50, 20, 32))
    lengths = rng.integers(5, 60, size=ndocs)
    topics = np.repeat(rng.integers(50, size=ndocs), lengths)
    rows = directions[topics, rng.integers(20, size=lengths.sum())]
    rows = rows + 0.4 * rng.normal(size=rows.shape)
    return TokenEmbeddings((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), lengths)


KNOWN = around(1, 2400)
UNKNOWN = around(2, 2600)


def codecs_of(index: plait.Index) -> list[tuple[int, str]]:
    """Codec and kind of each segment."""
    snapshot = open_snapshot(index.path)
    return [(row.codec, snapshot.codec_rows[row.codec].kind) for row in snapshot.segment_rows]


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> plait.Index:
    index = plait.Index.create(tmp_path / "index", dim=32, auto_compact=False, **KINDS[request.param])
    index.add(vectors=KNOWN[:2000], ids=[f"known {n}" for n in range(2000)])
    return index


def recall(index: plait.Index, truth: list[set[str]], queries: list[np.ndarray]) -> float:
    shares = [
        len(best & {hit.id for hit in index.search(query, 10)}) / 10
        for best, query in zip(truth, queries, strict=True)
    ]
    return float(np.mean(shares))


def joined(*parts: TokenEmbeddings) -> TokenEmbeddings:
    vectors = np.concatenate([part.vectors for part in parts])
    return TokenEmbeddings(vectors, np.concatenate([part.doclens for part in parts]))


def test_more_of_the_same_gets_the_same_codec(index: plait.Index):
    (known, kind), *_ = codecs_of(index)
    index.add(vectors=KNOWN[2000:2001], ids=["one"])
    index.add(vectors=KNOWN[2001:], ids=[f"more {n}" for n in range(399)])
    assert codecs_of(index) == [(known, kind)] * 3


def test_few_unlike_documents_are_kept_exact_and_more_get_a_codec(index: plait.Index):
    first = codecs_of(index)
    files = {path: path.read_bytes() for path in index.path.rglob("00000*/*.npy")}
    index.add(vectors=UNKNOWN[:300], ids=[f"new {n}" for n in range(300)])
    assert [kind for _, kind in codecs_of(index)] == [first[0][1], "float32"]
    query = UNKNOWN[5]
    assert index.search(query, 1)[0].id == "new 5"
    assert index.search(query, 1)[0].score == pytest.approx(float(len(query)), abs=1e-3)
    index.add(vectors=UNKNOWN[300:2500], ids=[f"new {n}" for n in range(300, 2500)])
    now = codecs_of(index)
    assert now[0] == first[0]
    assert len({codec for codec, _ in now}) == 2
    assert "float32" not in {kind for _, kind in now}
    # What was known before is as it was.
    assert all(path.read_bytes() == data for path, data in files.items())
    # What comes now goes where it fits.
    index.add(vectors=UNKNOWN[2500:2540], ids=[f"new {n}" for n in range(2500, 2540)])
    index.add(vectors=KNOWN[2000:2040], ids=[f"known {n}" for n in range(2000, 2040)])
    (new, _), (known, _) = codecs_of(index)[-2:]
    assert new == now[-1][0]
    assert known in (first[0][0], new)
    assert index.verify() == []


def test_recall_is_that_of_an_index_built_at_once(index: plait.Index, tmp_path: Path):
    for begin in range(0, 2600, 200):
        index.add(vectors=UNKNOWN[begin : begin + 200], ids=[f"new {n}" for n in range(begin, begin + 200)])
    everything = joined(KNOWN[:2000], UNKNOWN)
    ids = [f"known {n}" for n in range(2000)] + [f"new {n}" for n in range(2600)]
    queries = [UNKNOWN[place][:8] for place in range(0, 2600, 80)]
    truth = [{ids[int(place)] for place, _ in exact_top(query, everything, 10)} for query in queries]
    stats = index.stats()
    how = {"nbits": stats.nbits} if stats.nbits else {}
    with plait.Index.create(tmp_path / "rebuilt", dim=32, **how) as rebuilt:
        rebuilt.add(vectors=everything, ids=ids)
        expected = recall(rebuilt, truth, queries)
    found = recall(index, truth, queries)
    assert found >= expected - 0.01
    index.compact()
    assert recall(index, truth, queries) >= expected - 0.01


def test_there_are_not_ever_more_codecs(index: plait.Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choice, "MAX_CODECS", 1)
    before = codecs_of(index)
    index.add(vectors=UNKNOWN[:300], ids=[f"new {n}" for n in range(300)])
    assert codecs_of(index) == before * 2


def test_many_small_adds_train_on_more_than_the_last(tmp_path: Path):
    """The add that passes the size of a codec is small; the codec is trained on everything."""
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        for begin in range(0, 1100, 100):
            index.add(vectors=KNOWN[begin : begin + 100])
        index.add(vectors=KNOWN[1100:1101])
        while codecs_of(index)[-1][1] == "float32":
            begin = len(index)
            index.add(vectors=KNOWN[begin : begin + 1])
        assert index.stats().centroids >= 256
        assert index.search(KNOWN[5], 1)[0].id == "5"


@pytest.mark.parametrize("kind", ["scaled", "residual"])
def test_what_centroids_leave_tells_them_apart(kind: str):
    train = KNOWN[:1500].vectors
    codec = ScaledCodec.fit(train) if kind == "scaled" else ResidualCodec.fit(train, nbits=2)
    known = codec.unexplained_known
    assert codec.unexplained(train) == pytest.approx(known, rel=0.35)
    assert codec.unexplained(KNOWN[1500:].vectors) < choice.MOST_MISFIT * known
    assert codec.unexplained(UNKNOWN.vectors) > choice.MOST_MISFIT * known
    assert codec.unexplained(np.zeros((3, 32), dtype=np.float32)) == 0
