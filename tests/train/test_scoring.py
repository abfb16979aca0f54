"""Teachers' scores: equal to what the models say, kept on disk, and put together."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

import plait
from plait.errors import InvalidParameter
from plait.train import load_teacher, read_groups, score
from plait.train.score_cache import ScoreCache
from plait.train.teachers import IndexTeacher


class Counting:
    """The length of the document, and how often it was asked."""

    def __init__(self, fingerprint: str = "length", factor: float = 1.0) -> None:
        self.name = self.fingerprint = fingerprint
        self.factor = factor
        self.asked: list[tuple[str, str]] = []

    def score_pairs(self, pairs):
        self.asked += pairs
        return np.array([self.factor * len(text) for _, text in pairs], dtype=np.float32)


def test_scores_of_the_built_in_model_are_maxsim(mined: Path, tmp_path: Path):
    report = score(mined, tmp_path / "scored.jsonl", [load_teacher("colbert")])
    encoder = plait.load_encoder()
    scored = read_groups(tmp_path / "scored.jsonl")
    for group in scored:
        (query,) = encoder.encode_queries([group.query])
        expected = [plait.maxsim(query, text) for text in encoder.encode_documents(list(group.documents))]
        assert group.scores == pytest.approx(expected, abs=1e-5)
    before = read_groups(mined)
    assert [(group.query, group.documents, group.id, group.sources) for group in scored] == [
        (group.query, group.documents, group.id, group.sources) for group in before
    ]
    (teacher,) = report.teachers
    assert teacher.positives == pytest.approx(np.mean([group.scores[0] for group in scored]))
    assert teacher.negatives == pytest.approx(np.mean([group.scores[1:] for group in scored]))
    assert teacher.positive_first == 1.0


def test_a_bi_encoder_gives_cosines(mined: Path, tmp_path: Path):
    score(mined, tmp_path / "scored.jsonl", [load_teacher("bi_encoder")])
    scores = np.array([group.scores for group in read_groups(tmp_path / "scored.jsonl")])
    assert (np.abs(scores) <= 1 + 1e-6).all()
    assert (scores[:, :1] > scores[:, 1:]).mean() > 0.8


@pytest.mark.parametrize(
    ("retriever", "search"), [("colbert", "search"), ("bi_encoder", "search_bi_encoder")]
)
def test_retrievers_of_an_index_are_teachers(
    retriever: str, search: str, mined: Path, index: plait.Index, tmp_path: Path
):
    score(mined, tmp_path / "scored.jsonl", [IndexTeacher(index, retriever)])
    for group in read_groups(tmp_path / "scored.jsonl"):
        found = {hit.text: hit.score for hit in getattr(index, search)(group.query, len(index))}
        assert group.scores == pytest.approx([found[text] for text in group.documents], abs=1e-5)
    with pytest.raises(InvalidParameter, match="a source must be one of colbert, bm25, bi_encoder"):
        IndexTeacher(index, "tf-idf")


def test_bm25_of_an_index(mined: Path, index: plait.Index, tmp_path: Path):
    score(mined, tmp_path / "scored.jsonl", [load_teacher(f"bm25:{index.path}")])
    for group in read_groups(tmp_path / "scored.jsonl"):
        found = {hit.text: hit.score for hit in index.search_bm25(group.query, len(index))}
        assert group.scores == pytest.approx([found.get(text, 0) for text in group.documents], abs=1e-5)
    (tmp_path / "other.jsonl").write_text('{"query": "bread", "documents": ["Not in the index."]}\n')
    with pytest.raises(InvalidParameter, match="does not hold the document"):
        score(tmp_path / "other.jsonl", tmp_path / "x.jsonl", [load_teacher(f"bm25:{index.path}")])


def test_known_scores_are_not_computed_again(mined: Path, tmp_path: Path):
    first, second, third = Counting(), Counting(), Counting("another")
    cache = tmp_path / "scores.sqlite"
    report = score(mined, tmp_path / "a.jsonl", [first], cache=cache)
    assert report.teachers[0].computed == report.pairs == len(set(first.asked)) == len(first.asked)
    assert score(mined, tmp_path / "b.jsonl", [second], cache=cache).teachers[0].computed == 0
    score(mined, tmp_path / "c.jsonl", [third], cache=cache)
    assert (second.asked, len(third.asked)) == ([], report.pairs)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_run_cut_off_goes_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("plait.train.score_cache.BATCH", 4)
    pairs = [("query", "x" * length) for length in range(1, 11)]
    teacher = Counting()

    def stop(done: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with ScoreCache(tmp_path / "scores") as cache, pytest.raises(KeyboardInterrupt):
        cache.score(teacher, pairs, stop)
    with ScoreCache(tmp_path / "scores") as cache:
        found, computed = cache.score(teacher, pairs)
    assert computed == 2
    assert found.tolist() == list(range(1, 11))


def test_teachers_together(mined: Path, tmp_path: Path):
    teachers = [Counting("small"), Counting("large", 1000.0)]
    report = score(mined, tmp_path / "g.jsonl", teachers, weights=[3, 1], normalise="query")
    for group in read_groups(tmp_path / "g.jsonl"):
        lengths = np.array([len(text) for text in group.documents], dtype=float)
        assert group.scores == pytest.approx((lengths - lengths.mean()) / lengths.std(), abs=1e-4)
    assert [one.name for one in report.teachers] == ["small", "large"]
    assert report.together.deviation == pytest.approx(1)
    score(mined, tmp_path / "raw.jsonl", teachers, weights=[3, 1], normalise="none")
    group = read_groups(tmp_path / "raw.jsonl")[0]
    assert group.scores[0] == pytest.approx(len(group.documents[0]) * (0.75 + 0.25 * 1000), rel=1e-6)
    score(mined, tmp_path / "global.jsonl", teachers)
    every = [value for group in read_groups(tmp_path / "global.jsonl") for value in group.scores]
    assert (np.mean(every), np.std(every)) == pytest.approx((0, 1), abs=1e-4)


def test_the_cache_is_an_sqlite_file_of_hashes(mined: Path, tmp_path: Path):
    score(mined, tmp_path / "g.jsonl", [Counting()], cache=tmp_path / "scores")
    rows = sqlite3.connect(tmp_path / "scores").execute("SELECT teacher, pair FROM scores").fetchall()
    assert {teacher for teacher, _ in rows} == {"length"}
    assert b"bread" not in b"".join(pair for _, pair in rows)


def test_what_can_not_be_scored_is_said(mined: Path, tmp_path: Path):
    with pytest.raises(InvalidParameter, match="exists already"):
        score(mined, mined, [Counting()])
    with pytest.raises(InvalidParameter, match="2 weights for 1 teachers"):
        score(mined, tmp_path / "g.jsonl", [Counting()], weights=[1, 2])
    with pytest.raises(InvalidParameter, match="must be above 0"):
        score(mined, tmp_path / "g.jsonl", [Counting()], weights=[-1])
    with pytest.raises(InvalidParameter, match="not finite"):
        score(mined, tmp_path / "g.jsonl", [Counting(factor=np.inf)])
    for name in ("", "oracle", "oracle:path"):
        with pytest.raises(InvalidParameter, match="a teacher is KIND:PATH"):
            load_teacher(name)
    with pytest.raises(InvalidParameter, match="needs a path"):
        load_teacher("cross_encoder")
    assert not (tmp_path / "g.jsonl").exists()
