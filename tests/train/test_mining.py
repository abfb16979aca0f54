"""Negatives: where they come from, what is left out as a likely answer, and that a killed run goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait
from plait.errors import EmptyCorpus, InvalidParameter
from plait.train import Margin, Mining, Source, mine, mining, read_groups
from plait.train.negatives import RANDOM

from .conftest import QRELS, QUERIES, TOPICS

COLBERT = Mining([Source("colbert", 2, (1, 8)), Source(RANDOM, 1)])


def negatives(path: Path) -> dict[str, list[tuple[str, ...]]]:
    names = {text: key for key, text in TOPICS.items()}
    found: dict[str, list[tuple[str, ...]]] = {}
    for group in read_groups(path):
        found.setdefault(group.id, []).append(tuple(names[text] for text in group.documents))
    return found


def test_groups_of_positives_and_negatives(index: plait.Index, tmp_path: Path):
    report = mine(index, QUERIES, QRELS, tmp_path / "groups.jsonl", COLBERT)
    groups = read_groups(tmp_path / "groups.jsonl")
    found = negatives(tmp_path / "groups.jsonl")
    assert (report.queries, report.groups, report.missing, report.short) == (3, 4, 0, 0)
    assert report.negatives == {"colbert": 8, "random": 4}
    assert [group.sources for group in groups] == [("colbert", "colbert", "random")] * 4
    assert [row[0] for row in found["q2"]] == ["tides", "moon"]  # a group for each positive
    for key, rows in found.items():
        for row in rows:
            assert len(set(row)) == 4
            assert not set(row[1:]) & {name for name, grade in QRELS[key].items() if grade}
    assert [path.name for path in tmp_path.iterdir()] == ["groups.jsonl"]


def test_negatives_come_from_the_window_of_ranks(index: plait.Index, tmp_path: Path):
    window = Mining([Source("colbert", 2, (3, 5))], fill=False)
    mine(index, QUERIES, QRELS, tmp_path / "groups.jsonl", window)
    for key, rows in negatives(tmp_path / "groups.jsonl").items():
        ranked = [hit.id for hit in index.search(QUERIES[key], 5)]
        for row in rows:
            assert set(row[1:]) <= set(ranked[2:])


def test_every_retriever_of_the_index_gives_its_own(index: plait.Index, tmp_path: Path):
    sources = [Source(name, 1, (1, 6)) for name in ("colbert", "bm25", "bi_encoder")]
    report = mine(
        index, QUERIES, QRELS, tmp_path / "g.jsonl", Mining(sources, Margin(relative=0.99), fill=False)
    )
    assert set(report.negatives) == {"colbert", "bm25", "bi_encoder"}
    names = {text: key for key, text in TOPICS.items()}
    searches = {
        "colbert": index.search,
        "bm25": index.search_bm25,
        "bi_encoder": index.search_bi_encoder,
    }
    for group in read_groups(tmp_path / "g.jsonl"):
        for text, source in zip(group.documents[1:], group.sources, strict=True):
            assert names[text] in [hit.id for hit in searches[source](group.query, 6)]


def test_the_top_of_the_window_in_order(index: plait.Index, tmp_path: Path):
    mine(index, QUERIES, QRELS, tmp_path / "g.jsonl", Mining([Source("colbert", 3, (1, 9))], pick="top"))
    ranked = [hit.id for hit in index.search(QUERIES["q1"], 9) if hit.id != "bread"]
    assert negatives(tmp_path / "g.jsonl")["q1"][0] == ("bread", *ranked[:3])


def test_a_copy_of_the_positive_and_a_text_with_the_query_are_no_negatives(
    index: plait.Index, tmp_path: Path
):
    queries = {"q3": "what is the capital of France", "q4": "is the capital of Italy"}
    qrels = {"q3": {"paris": 1}, "q4": {"berlin": 1}}
    report = mine(index, queries, qrels, tmp_path / "g.jsonl", Mining([Source("colbert", 9, (1, 12))]))
    assert report.dropped["duplicate of a positive"] >= 1
    assert report.dropped["contains the query"] >= 1
    found = negatives(tmp_path / "g.jsonl")
    assert "copy" not in found["q3"][0]
    assert "rome" not in found["q4"][0]


@pytest.mark.parametrize("margin", [Margin(relative=0.5), Margin(absolute=4.0)])
def test_scores_too_close_to_the_positive(margin: Margin, index: plait.Index, tmp_path: Path):
    how = Mining([Source("colbert", 9, (1, 12))], margin, fill=False)
    report = mine(index, QUERIES, QRELS, tmp_path / "g.jsonl", how)
    assert report.dropped["score too close to the positive's"] >= 1
    for key, rows in negatives(tmp_path / "g.jsonl").items():
        scores = {hit.id: hit.score for hit in index.search(QUERIES[key], 12)}
        for positive, *others in rows:
            for other in others:
                if margin.relative:
                    assert scores[other] <= margin.relative * scores[positive] + 1e-6
                else:
                    assert scores[other] <= scores[positive] - 4 + 1e-6


class Judge:
    """Thinks that what names a capital answers everything, and the positive most."""

    name = fingerprint = "judge"

    def score_pairs(self, pairs):
        return np.array([1.0 if "capital" in text or "Bread is" in text else 0.0 for _, text in pairs])


def test_a_teacher_judges_in_place_of_the_retriever(index: plait.Index, tmp_path: Path):
    how = Mining([Source("colbert", 11, (1, 12))], Margin(absolute=0.5), fill=False)
    one = {"q1": QRELS["q1"]}
    mine(index, QUERIES, one, tmp_path / "g.jsonl", how, judge=Judge())
    assert set(negatives(tmp_path / "g.jsonl")["q1"][0]) == set(TOPICS) - {"paris", "berlin", "rome", "copy"}


def test_empty_places_are_filled_at_random_or_not(index: plait.Index, tmp_path: Path):
    source = [Source("colbert", 5, (1, 3))]
    filled = mine(index, QUERIES, QRELS, tmp_path / "filled.jsonl", Mining(source))
    short = mine(index, QUERIES, QRELS, tmp_path / "short.jsonl", Mining(source, fill=False))
    assert (filled.short, short.short) == (0, 4)
    assert filled.negatives["fill"] >= 4 * 2
    assert {len(group.documents) for group in read_groups(tmp_path / "filled.jsonl")} == {6}


def test_a_corpus_too_small_for_the_negatives_wanted_ends(index: plait.Index, tmp_path: Path):
    report = mine(index, QUERIES, QRELS, tmp_path / "g.jsonl", Mining([Source(RANDOM, 50)]))
    assert report.short == report.groups


def test_what_is_chosen_depends_on_the_seed_and_the_query_alone(index: plait.Index, tmp_path: Path):
    mine(index, QUERIES, QRELS, tmp_path / "all.jsonl", COLBERT)
    mine(index, QUERIES, {"q3": QRELS["q3"]}, tmp_path / "one.jsonl", COLBERT)
    mine(index, QUERIES, QRELS, tmp_path / "other.jsonl", Mining([Source(RANDOM, 3)], seed=1))
    mine(index, QUERIES, QRELS, tmp_path / "another.jsonl", Mining([Source(RANDOM, 3)], seed=2))
    assert negatives(tmp_path / "all.jsonl")["q3"] == negatives(tmp_path / "one.jsonl")["q3"]
    assert negatives(tmp_path / "other.jsonl") != negatives(tmp_path / "another.jsonl")


def test_a_run_cut_off_anywhere_goes_on_to_the_same_file(index: plait.Index, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(mining, "BATCH", 1)
    mine(index, QUERIES, QRELS, tmp_path / "whole.jsonl", COLBERT)

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(index, QUERIES, QRELS, tmp_path / "cut.jsonl", COLBERT, progress=stop)
    remains = tmp_path / "cut.jsonl.part.jsonl"
    assert not (tmp_path / "cut.jsonl").exists()
    whole = remains.read_bytes()
    seen: list[int] = []
    for length in (*range(0, len(whole), 997), len(whole) - 1, len(whole)):
        (tmp_path / "cut.jsonl").unlink(missing_ok=True)
        remains.write_bytes(whole[:length])
        seen.clear()
        mine(
            index,
            QUERIES,
            QRELS,
            tmp_path / "cut.jsonl",
            COLBERT,
            progress=lambda _, done, total: seen.append(done),
        )
        assert (tmp_path / "cut.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert seen == [3]  # with all that was there only the last query was left


def test_remains_of_other_settings_are_refused(index: plait.Index, tmp_path: Path):
    (tmp_path / "g.jsonl.part.jsonl").write_text('{"work": "other"}\n{"groups": []}\n')
    with pytest.raises(InvalidParameter, match=r"g\.jsonl\.part\.jsonl is left of a run with other settings"):
        mine(index, QUERIES, QRELS, tmp_path / "g.jsonl", COLBERT)
    assert (tmp_path / "g.jsonl.part.jsonl").exists()


def test_what_can_not_be_mined_is_said(index: plait.Index, tmp_path: Path):
    (tmp_path / "there.jsonl").touch()
    with pytest.raises(InvalidParameter, match="exists already"):
        mine(index, QUERIES, QRELS, tmp_path / "there.jsonl")
    with pytest.raises(EmptyCorpus, match="no query has a positive"):
        mine(index, QUERIES, {"q1": {"bread": 0}}, tmp_path / "g.jsonl", COLBERT)
    with pytest.raises(EmptyCorpus, match="no positive is in the index"):
        mine(index, QUERIES, {"q1": {"cake": 1}}, tmp_path / "g.jsonl", COLBERT)
    assert not (tmp_path / "g.jsonl").exists()


def test_positives_that_are_not_in_the_index_are_counted(index: plait.Index, tmp_path: Path):
    report = mine(index, QUERIES, {"q1": {"cake": 1, "bread": 1}}, tmp_path / "g.jsonl", COLBERT)
    assert (report.groups, report.missing) == (1, 1)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("bm25", Source("bm25")),
        ("random:2", Source("random", 2)),
        ("colbert:7:5-50", Source("colbert", 7, (5, 50))),
    ],
)
def test_sources_are_read(text: str, source: Source):
    assert Source.parse(text) == source


@pytest.mark.parametrize("text", ["", "google", "bm25:x", "bm25:0", "bm25:3:9-2", "bm25:3:4", "bm25:1:1-2:3"])
def test_wrong_sources_are_refused(text: str):
    with pytest.raises(InvalidParameter, match=r"source|negatives|ranks"):
        Source.parse(text)


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(0.01, 1))
def test_a_share_keeps_only_lower_scores(score: float, positive: float, share: float):
    if not Margin(relative=share).is_too_close(score, positive):
        assert score <= positive


def test_mining_needs_no_torch(index: plait.Index, tmp_path: Path):
    script = (
        "import json, sys\n"
        "sys.modules['torch'] = None\n"
        "import plait\n"
        "from plait.train import Mining, Source, mine, score, load_teacher\n"
        "index = plait.Index.open(sys.argv[1])\n"
        "how = Mining([Source('colbert', 2, (1, 8))])\n"
        "mine(index, {'q': 'bread'}, {'q': {'bread': 1}}, sys.argv[2], how)\n"
        "score(sys.argv[2], sys.argv[3], [load_teacher('colbert')])\n"
    )
    paths = [index.path, tmp_path / "g.jsonl", tmp_path / "scored.jsonl"]
    subprocess.run([sys.executable, "-c", script, *map(str, paths)], check=True)
    assert len(json.loads((tmp_path / "scored.jsonl").read_text())["scores"]) == 3
