"""Single vectors beside the token vectors: cosines of all documents, whatever became of the index."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait.codec.pooled import compress_pooled, decompress_pooled
from plait.errors import (
    DimensionMismatch,
    EmptyText,
    InvalidParameter,
    InvalidVectors,
    NoEncoder,
    NonFiniteVectors,
    PartMissing,
)
from plait.store import format as layout
from plait.types import TokenEmbeddings
from tests.conftest import clustered

DIM, WIDTH = 8, 20
GOLDEN = Path(__file__).parents[1] / "golden"
TEXTS = {
    "paris": "Paris is the capital of France.",
    "bread": "Bread is baked from flour, water and yeast.",
    "bern": "Bern is the seat of the government of Switzerland.",
}


def single(ids: list[int]) -> np.ndarray:
    """A vector for each number; some numbers share one."""
    rows = [np.random.default_rng(number // 2).normal(size=WIDTH) for number in ids]
    return np.array(rows, dtype=np.float32).reshape(-1, WIDTH)


def embeddings(ids: list[int], dim: int = DIM) -> TokenEmbeddings:
    tokens = clustered(len(ids), dim=dim, seed=len(ids), doclen=(1, 4))
    return TokenEmbeddings(tokens.vectors, tokens.doclens, single(ids))


def make(path: Path) -> plait.Index:
    return plait.Index.create(path, dim=DIM, bi_encoder=WIDTH)


def put(index: plait.Index, ids: list[int]) -> None:
    if ids:
        index.upsert(vectors=embeddings(ids), ids=[str(number) for number in ids])


def answers(index: plait.Index, query: np.ndarray, k: int, **options: object) -> list[tuple[object, ...]]:
    return [tuple(hit) for hit in index.search_bi_encoder(query, k, **options)]


def oracle(ids: list[int], query: np.ndarray) -> list[tuple[str, float]]:
    """Cosines with the vectors as stored, ids in order of insertion."""
    stored = decompress_pooled(*compress_pooled(single(ids)), WIDTH).astype(float)
    scores = stored @ (query / np.linalg.norm(query))
    order = np.argsort(-np.round(scores, 6), kind="stable")
    return [(str(ids[place]), scores[place]) for place in order]


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 30), max_size=8, unique=True), min_size=1, max_size=4),
    deleted=st.sets(st.integers(0, 30)),
    seed=st.integers(0, 1000),
)
def test_a_living_index_answers_as_a_fresh_one(batches, deleted, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("bi")
    query = np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)
    order: list[int] = []
    with make(path / "index") as index:
        for batch in batches:
            put(index, batch)
            order = [number for number in order if number not in batch] + batch
        index.delete([str(number) for number in deleted])
        order = [number for number in order if number not in deleted]
        found = answers(index, query, 100)
        wanted = oracle(order, query)
        assert [key for key, _, _ in found] == [key for key, _ in wanted]
        assert [score for _, _, score in found] == pytest.approx([score for _, score in wanted], abs=2e-4)
        assert [rank for _, rank, _ in found] == list(range(1, len(order) + 1))
        index.compact()
        assert answers(index, query, 100) == found
        assert not index.verify()
        for k in (1, 3):
            assert answers(index, query, k) == found[:k]
        with make(path / "fresh") as fresh:
            put(fresh, order)
            assert answers(fresh, query, 100) == found


def test_filters_and_ids_leak_nothing_and_change_no_score(tmp_path: Path):
    numbers = list(range(60))
    query = single([7])[0]
    with make(tmp_path / "index") as index:
        index.add(vectors=embeddings(numbers), metadata=[{"n": number} for number in numbers])
        everything = {key: score for key, _, score in answers(index, query, 60)}
        low = answers(index, query, 60, filter={"n": {"$lt": 10}})
        assert {key: score for key, _, score in low} == {key: everything[key] for key in map(str, range(10))}
        assert {key for key, _, _ in answers(index, query, 9, ids=["3", "5", "unknown"])} == {"3", "5"}
        assert answers(index, query, 5, filter={"n": 99}) == []
        assert answers(index, query, 5, ids=[]) == []


def test_threads_and_pieces_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    query = np.random.default_rng(0).normal(size=WIDTH).astype(np.float32)
    with make(tmp_path / "index") as index:
        put(index, list(range(200)))
        whole = answers(index, query, 50)
        monkeypatch.setattr("plait.search.bi_encoder.DOCS_PER_SCAN", 7)
        assert answers(index, query, 50, threads=1) == whole
        assert answers(index, query, 50, threads=3) == whole


def test_single_vectors_survive_the_training_of_a_codec_and_streams(tmp_path: Path):
    """Tokens are compressed anew when an index grows; single vectors are copied."""
    numbers = list(range(1500))
    tokens = clustered(1500, dim=DIM, doclen=(20, 40))
    both = TokenEmbeddings(tokens.vectors, tokens.doclens, single(numbers))
    query = single([11])[0]
    with make(tmp_path / "index") as index, make(tmp_path / "stream") as stream:
        for some in (slice(0, 700), slice(700, 1500)):
            index.add(vectors=both[some])
        stream.add_stream((both[start : start + 400] for start in range(0, 1500, 400)), ids=map(str, numbers))
        assert index.stats().centroids
        assert answers(index, query, 1500) == answers(stream, query, 1500)
        assert {key for key, _, _ in answers(index, query, 2)} == {"10", "11"}


def test_a_transaction_is_seen_as_a_whole(tmp_path: Path):
    query = single([1])[0]
    with make(tmp_path / "index") as index:
        put(index, [1])
        with index.transaction():
            put(index, [2])
            index.delete("1")
            assert [key for key, _, _ in answers(index, query, 9)] == ["1"]
        assert [key for key, _, _ in answers(index, query, 9)] == ["2"]


def test_texts_have_one_by_default(tmp_path: Path):
    with plait.Index.create(tmp_path / "index") as index:
        index.add(list(TEXTS.values()), ids=list(TEXTS))
        hits = index.search_bi_encoder("the French capital", 2)
        assert hits[0].id == "paris"
        assert hits[0].text == TEXTS["paris"]
        assert len(hits) == 2
        query = index.encoder.encode_queries(["the French capital"])
        assert index.search_bi_encoder(query.single_vectors()[0], 2) == hits
        assert index.stats().bytes_bi_encoder > 3 * 196
        # Token vectors of one's own without a single vector, whose width is another here.
        index.add(vectors=[np.eye(128)[:3]], ids=["own"])
        assert index.search_bi_encoder("the French capital", ids=["own"])[0].score == 0
        with pytest.raises(DimensionMismatch, match="single vector must have 384 components each, but has 3"):
            index.search_bi_encoder(np.ones(3))
        with pytest.raises(
            InvalidVectors, match=r"a text or one vector \[384\], but has the shape \(2, 128\)"
        ):
            index.search_bi_encoder(np.ones((2, 128)))


def test_vectors_without_a_single_one_have_their_mean(tmp_path: Path):
    tokens = clustered(50, dim=DIM, doclen=(1, 9))
    with plait.Index.create(tmp_path / "index", dim=DIM, bi_encoder=True) as index:
        index.add(vectors=tokens)
        hits = index.search_bi_encoder(tokens[30], 3)
        assert hits[0].id == "30"
        assert index.search_bi_encoder(tokens.single_vectors()[30], 3) == hits
        with pytest.raises(NoEncoder):
            index.search_bi_encoder("text")


def test_a_query_of_zeros_and_none_of_numbers(tmp_path: Path):
    with make(tmp_path / "index") as index:
        put(index, [3, 1, 2])
        assert answers(index, np.zeros(WIDTH), 9) == [("3", 1, 0.0), ("1", 2, 0.0), ("2", 3, 0.0)]
        with pytest.raises(NonFiniteVectors):
            index.search_bi_encoder(np.full(WIDTH, np.nan))
        with pytest.raises(InvalidParameter, match="k must be at least 1"):
            index.search_bi_encoder(np.ones(WIDTH), 0)


def test_what_an_index_without_them_says(small: plait.Index):
    with pytest.raises(PartMissing, match=r"index.add_bi_encoder\(\) or `plait compact --bi-encoder`"):
        small.search_bi_encoder(np.ones(32))
    assert small.stats().bytes_bi_encoder is None


def test_adding_them_later_is_as_having_had_them_from_the_start(tmp_path: Path):
    """Over several segments, with deleted documents, while an older snapshot stays what it was."""
    question = "the French capital"
    with (
        plait.Index.create(tmp_path / "late", bi_encoder=False, auto_compact=False) as late,
        plait.Index.create(tmp_path / "early", auto_compact=False) as early,
    ):
        for index in (late, early):
            for key, text in TEXTS.items():
                index.add([text], ids=[key], metadata=[{"length": len(text)}])
            index.add(["a fourth one, deleted"], ids=["gone"])
            index.delete("gone")
        before = [tuple(hit) for hit in late.search(question, 9)]
        told = []
        with plait.Index.open(tmp_path / "late", auto_refresh=False) as reader:
            late.add_bi_encoder(progress=lambda *what: told.append(what))
            assert reader.stats().bytes_bi_encoder is None
        assert late.search_bi_encoder(question, 9) == early.search_bi_encoder(question, 9)
        assert late.search_bi_encoder(question, filter={"length": {"$lt": 40}}) == early.search_bi_encoder(
            question, filter={"length": {"$lt": 40}}
        )
        assert [tuple(hit) for hit in late.search(question, 9)] == before
        assert told[-1] == ("merge", 3, 3)
        assert [done for stage, done, total in told if stage == "encode"][-1] == total_of(told)
        assert not late.verify()
        late.add(["Zurich is the largest city of Switzerland."], ids=["zurich"])
        assert late.search_bi_encoder("the largest Swiss city")[0].id == "zurich"
        with pytest.raises(InvalidParameter, match="has a bi-encoder's vectors already"):
            late.add_bi_encoder()


def total_of(told: list[tuple[str, int, int]]) -> int:
    (total,) = {total for stage, _, total in told if stage == "encode"}
    return total


@pytest.mark.parametrize("name", ["v1-exact", "v2-living", "v2-scaled"])
def test_an_older_index_of_vectors_gets_their_means(name: str, tmp_path: Path):
    path = Path(shutil.copytree(GOLDEN / name, tmp_path / name))
    with plait.Index.open(path) as index:
        ids = list(index.ids())
        stored = index.vectors(ids)
        index.add_bi_encoder()
        assert index.stats().format_version == layout.FORMAT_VERSION
        hits = index.search_bi_encoder(stored[5], len(ids))
        means = decompress_pooled(*compress_pooled(stored.single_vectors()), stored.dim)
        cosines = dict(zip(ids, means @ stored[5:6].single_vectors()[0], strict=True))
        assert {hit.id: hit.score for hit in hits} == pytest.approx(cosines, abs=2e-4)
        assert not index.verify()


def test_nothing_is_changed_where_they_can_not_be_added(tmp_path: Path):
    path = tmp_path / "index"
    with plait.Index.create(path, bi_encoder=False) as index:
        index.add(list(TEXTS.values()), ids=list(TEXTS))
        index.add(vectors=[np.eye(128)[:3]], ids=["own"])
        with pytest.raises(EmptyText, match="the document 'own' was added with vectors of its own"):
            index.add_bi_encoder()
        index.delete("own")
        files = sorted(path.rglob("*.npy"))

        def stop(stage: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.add_bi_encoder(progress=stop)
        assert sorted(path.rglob("*.npy")) == files
        assert index.stats().bytes_bi_encoder is None
        with index.transaction():
            with pytest.raises(KeyboardInterrupt):
                index.add_bi_encoder(progress=stop)
            index.add(["Added in spite of it."], ids=["more"])
        assert (len(index), index.stats().bytes_bi_encoder) == (4, None)
        index.add_bi_encoder()
        assert len(index.search_bi_encoder("the French capital", 9)) == 4
        assert not index.verify()


def test_wrong_widths(tmp_path: Path):
    for wanted in (0, 8193, "yes"):
        with pytest.raises(InvalidParameter, match="from 1 to 8192 components"):
            plait.Index.create(tmp_path / "wrong", dim=DIM, bi_encoder=wanted)
    with pytest.raises(InvalidParameter, match="True or False with an encoder"):
        plait.Index.create(tmp_path / "wrong", bi_encoder=384)
    with make(tmp_path / "index") as index:
        put(index, [1])
        tokens = clustered(1, dim=DIM)
        with pytest.raises(DimensionMismatch, match="pooled vectors must have 20 components each, but has 5"):
            index.add(vectors=TokenEmbeddings(tokens.vectors, tokens.doclens, np.ones((1, 5))), ids=["2"])
        assert len(index) == 1


def damage(path: Path, change) -> None:
    """Change the codes of the first segment, on the disk and in the catalog."""
    (file,) = (path / "segments").glob("*/bi_encoder_scales.npy")
    array = np.load(file)
    change(array)
    np.save(file, array)
    from plait.store.format import checksum

    with sqlite3.connect(path / "catalog.sqlite") as catalog:
        (sums,) = catalog.execute("SELECT checksums FROM segment").fetchone()
        sums = {**json.loads(sums), "bi_encoder_scales": checksum(array)}
        catalog.execute("UPDATE segment SET checksums = ?", [json.dumps(sums)])


def test_forged_scales(tmp_path: Path):
    for name, value, opens in (("nan", np.nan, False), ("two", 2.0, False), ("half", 0.5, True)):
        path = tmp_path / name
        with make(path) as index:
            put(index, [1, 2])

        def change(scales: np.ndarray, value: float = value) -> None:
            scales[1] = value

        damage(path, change)
        problems = plait.store.verify(path)
        assert any("bi_encoder_scales.npy" in str(problem) for problem in problems)
        if opens:
            plait.Index.open(path).close()
        else:
            with pytest.raises(plait.errors.IndexCorrupt, match=r"bi_encoder_scales\.npy"):
                plait.Index.open(path)


def test_repair_encodes_again_where_single_vectors_are_lost(tmp_path: Path):
    path = tmp_path / "index"
    with plait.Index.create(path) as index:
        index.add(list(TEXTS.values()), ids=list(TEXTS))
        wanted = [tuple(hit) for hit in index.search_bi_encoder("the French capital", 3)]
    next((path / "segments").glob("*/bi_encoder_codes.npy")).unlink()
    report = plait.Index.repair(path, tmp_path / "repaired")
    assert report.encoded_again == list(TEXTS)
    with plait.Index.open(tmp_path / "repaired") as index:
        assert [tuple(hit) for hit in index.search_bi_encoder("the French capital", 3)] == wanted
        assert not index.verify()


def test_repair_without_an_encoder_loses_no_document(tmp_path: Path):
    path = tmp_path / "index"
    with make(path) as index:
        put(index, [1, 2])
    next((path / "segments").glob("*/bi_encoder_codes.npy")).unlink()
    report = plait.Index.repair(path, tmp_path / "repaired")
    assert report.saved == 2
    assert any("bi_encoder_codes" in line for line in report.damage)
    with plait.Index.open(tmp_path / "repaired") as index:
        assert answers(index, single([1])[0], 9) == [("1", 1, 0.0), ("2", 2, 0.0)]
        assert not index.verify()


def test_a_copy_and_a_compacted_index_of_deleted_documents(tmp_path: Path):
    query = single([4])[0]
    with make(tmp_path / "index") as index:
        put(index, [1, 2, 3])
        index.delete(["1", "2", "3"])
        assert answers(index, query, 5) == []
        index.compact()
        assert answers(index, query, 5) == []
        put(index, [4, 5])
        index.backup(tmp_path / "copy")
        found = answers(index, query, 5)
    with plait.Index.open(tmp_path / "copy") as copy:
        assert answers(copy, query, 5) == found
