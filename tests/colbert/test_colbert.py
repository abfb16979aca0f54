"""Code that was written for colbert-ai runs with its import line changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import plait
from plait.colbert import Indexer, Searcher
from plait.colbert.data import Collection, Queries, Ranking
from plait.colbert.infra import ColBERTConfig, Run, RunConfig
from plait.errors import ForeignIndexWarning
from tests.importers.conftest import FOREIGN, answers, queries, texts

PASSAGES = [
    "Paris is the capital of France.",
    "Berlin is the capital of Germany.",
    "Cats sleep most of the day.",
    "The Nile flows through Egypt.",
]


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def made() -> str:
    return Indexer(checkpoint=None, config=ColBERTConfig(root="experiments/")).index("my_index", PASSAGES)


def test_the_classic_example(made: str):
    config = ColBERTConfig(root="experiments/")
    searcher = Searcher(index="my_index", config=config)
    results = searcher.search("What is the capital of France?", k=10)
    seen = []
    for passage_id, rank, score in results:
        seen.append((passage_id, rank))
        assert score > 0
    assert seen[0] == (0, 1)
    assert [rank for _, rank in seen] == [1, 2, 3, 4]
    assert made == str(Path("experiments/default/indexes/my_index"))
    assert searcher.collection[seen[0][0]] == PASSAGES[0]


def test_an_indexer_in_a_context():
    with Run().context(RunConfig(root="here", experiment="one")):
        indexer = Indexer(checkpoint=None, config=ColBERTConfig(nbits=2))
        path = indexer.index(name="small", collection=PASSAGES)
        assert path == indexer.get_index() == str(Path("here/one/indexes/small"))
        hits = Searcher(index="small").search("cats", k=1)
    assert hits[0].id == 2
    with plait.Index.open(path) as index:
        assert index.stats().nbits == 2
    assert Run().config.root == "experiments"


def test_what_is_given_in_a_context_counts_first():
    config = ColBERTConfig(root="a", experiment="b")
    with Run().context(RunConfig(root="c")):
        assert ColBERTConfig.from_existing(config, Run().config).index_root_ == str(Path("c/b/indexes"))
        with Run().context(RunConfig(experiment="d")):
            assert Run().config.root == "c"
        with Run().context(RunConfig(experiment="d"), inherit_config=False):
            assert Run().config.root == "experiments"


def test_settings_without_a_meaning_are_named_in_one_warning():
    with pytest.warns(
        UserWarning, match="no meaning in plait: amp, centroid_score_threshold, nranks"
    ) as seen:
        config = ColBERTConfig(nranks=4, amp=True, nbits=4, centroid_score_threshold=0.4)
    assert len(seen) == 1
    assert config.nbits == 4
    with pytest.raises(plait.PlaitError, match="no setting nbit"):
        ColBERTConfig(nbit=4)
    with pytest.raises(AttributeError):
        config.nothing  # noqa: B018


def test_overwrite(made: str):
    indexer = Indexer(None, ColBERTConfig(root="experiments"))
    with pytest.raises(FileExistsError):
        indexer.index("my_index", PASSAGES[:2])
    assert indexer.index("my_index", PASSAGES[:2], overwrite="reuse") == made
    assert len(Searcher("my_index").collection) == 4
    with pytest.raises(plait.PlaitError):  # a bad collection leaves the old index
        indexer.index("my_index", ["a text", ""], overwrite=True)
    assert len(Searcher("my_index").collection) == 4
    indexer.index("my_index", PASSAGES[:2], overwrite="force_silent_overwrite")
    assert len(Searcher("my_index").collection) == 2
    Path("experiments/default/indexes/other").mkdir()
    Path("experiments/default/indexes/other/file").touch()
    with pytest.raises(FileExistsError, match="something else"):
        indexer.index("other", PASSAGES, overwrite=True)
    with pytest.raises(plait.PlaitError, match="overwrite must be"):
        indexer.index("other", PASSAGES, overwrite="yes")


def test_search_all_and_rankings(made: str):
    Path("queries.tsv").write_text("7\tthe capital of Germany\n9\tcats\n")
    searcher = Searcher("my_index")
    ranking = searcher.search_all("queries.tsv", k=2)
    data = ranking.todict()
    assert [data[7][0][0], data[9][0][0]] == [1, 2]
    assert data[9] == [tuple(hit) for hit in searcher.search("cats", k=2)]
    path = ranking.save("out/ranking.tsv")
    lines = Path(path).read_text().splitlines()
    assert len(lines) == len(ranking.tolist()) == 4
    assert lines[0].split("\t")[:3] == ["7", "1", "1"]
    assert Ranking(path=path).todict() == data
    assert searcher.search_all(["cats"], k=1).todict()[0][0][0] == 2
    only = searcher.search_all({"q": "cats"}, k=5, qid_to_pids={"q": [0, 3]})
    assert {pid for pid, _, _ in only.todict()["q"]} == {0, 3}
    with pytest.raises(plait.PlaitError, match=r"\.tsv"):
        ranking.save("ranking.json")


def test_filters_and_chosen_passages(made: str):
    searcher = Searcher("my_index")
    hits = searcher.search("the capital of France", k=3, filter_fn=lambda pids: pids[pids != 0])
    assert len(hits) == 3
    assert 0 not in hits.as_lists()[0]
    assert searcher.search("the capital of France", filter_fn=lambda pids: pids[:0]) == []
    assert {hit.id for hit in searcher.search("the capital of France", pids=[2, 3, 99])} == {2, 3}


def test_vectors_are_queries_too(made: str):
    searcher = Searcher("my_index")
    vectors = searcher.encode(["cats"])
    assert vectors.ndim == 3
    pids, ranks, scores = searcher.dense_search(vectors, k=2).as_lists()
    assert (pids[0], ranks) == (2, [1, 2])
    assert scores == searcher.search("cats", k=2).as_lists()[2]


def test_lengths_are_honoured():
    config = ColBERTConfig(doc_maxlen=8, query_maxlen=6)
    path = Indexer(None, config).index(
        "short", ["one two three four five six seven eight nine ten eleven twelve"]
    )
    with plait.Index.open(path) as index:
        assert index.stats().tokens <= 8
    query = "one two three four five six seven eight"
    assert Searcher("short").encode(query).shape[1] == 6
    assert Searcher("short", config=ColBERTConfig(query_maxlen=9)).encode(query).shape[1] == 9


def test_the_names_of_how_far_to_look(made: str):
    searcher = Searcher("my_index", config=ColBERTConfig(ncells=3, ndocs=64))
    assert searcher._params(10) == plait.SearchParams(nprobe=3, ncandidates=64, ndocs=16)
    assert len(searcher.search("cats", k=4)) == 4
    searcher.configure(ncells=5)
    assert searcher._params(10).nprobe == 5


def test_an_index_of_colbert_ai_is_taken_over():
    folder = Path("experiments/default/indexes/old")
    shutil.copytree(FOREIGN / "colbert-ai-4", folder)
    with pytest.warns(ForeignIndexWarning, match="taken over"):
        searcher = Searcher("old", collection=texts())
    for query, expected in zip(queries(), answers("colbert-ai-4"), strict=True):
        hits = searcher.dense_search(query[None], k=60)
        assert {hit.id: hit.score for hit in hits} == pytest.approx(dict(expected), abs=1e-5)
    assert searcher.collection[3] == texts()[3]
    searcher.close()
    assert len(Searcher("old").dense_search(queries()[0], k=5)) == 5  # and not again
    with pytest.raises(plait.PlaitError, match="the/checkpoint"):
        Searcher("old").search("a text")


def test_collections_and_queries_of_the_field(tmp_path: Path):
    (tmp_path / "collection.tsv").write_text("0\ta text\n1\tits text\ttitle\n")
    collection = Collection(path=tmp_path / "collection.tsv")
    assert list(collection) == ["a text", "title | its text"]
    assert Collection.cast(collection) is collection
    assert dict(Queries.cast({"a": {"question": "what"}})) == {"a": "what"}
    (tmp_path / "queries.tsv").write_text("no tab\n")
    with pytest.raises(plait.PlaitError, match="line 1"):
        Queries(path=tmp_path / "queries.tsv")


def test_full_length_search_is_named(made: str):
    with pytest.warns(UserWarning, match="full_length_search"):
        Searcher("my_index").search("cats", full_length_search=True)


def test_a_missing_index_says_so():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Searcher("nowhere")


def test_k_is_not_remembered(made: str):
    searcher = Searcher("my_index")
    assert len(searcher.search("cats", k=1)) == 1
    assert np.array_equal(len(searcher.search("cats", k=4)), 4)
