"""plait queries, mine, score."""

import json

import pytest

from plait.sources import read_documents
from plait.train import read_groups

from .conftest import write_lines


@pytest.fixture
def judged(tmp_path):
    queries = [{"_id": "q1", "text": "capital of France"}, {"_id": "q2", "text": "what makes the tides"}]
    write_lines(tmp_path / "queries.jsonl", queries)
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tparis\t1\nq2\tsea\t1\n")
    return ["--queries", tmp_path / "queries.jsonl", "--qrels", tmp_path / "qrels.tsv"]


def test_queries_of_documents(plait, tmp_path):
    sentence = "The {} of the house is painted in a light colour every year."
    records = [
        {
            "_id": str(n),
            "title": f"House number {n}",
            "text": " ".join(sentence.format(f"{w}{n}") for w in "abcd"),
        }
        for n in range(10)
    ]
    source = write_lines(tmp_path / "docs.jsonl", records)
    made = plait("queries", source, "-o", tmp_path / "data", "--held-out", "2")
    assert made.code == 0, made.err
    figures = dict(line.rsplit(maxsplit=1) for line in made.out.splitlines())
    assert figures["queries to train"] == "16"
    assert figures["queries to test"] == "4"
    assert len(list(read_documents(tmp_path / "data"))) == 10
    again = plait("queries", source, "-o", tmp_path / "data")
    assert (again.code, "exists already" in again.err) == (1, True)
    assert plait("queries", source, "-o", tmp_path / "x", "--held-out", "many").code == 2


def test_queries_of_pairs(plait, tmp_path):
    pairs = [{"query": f"question {n}", "positive": f"answer {n}"} for n in range(10)]
    source = write_lines(tmp_path / "pairs.jsonl", pairs)
    made = plait("queries", source, "--pairs", "-o", tmp_path / "data", "--held-out", "0.2", "--json")
    assert made.lines == [{"documents": 10, "queries to train": 8, "queries to test": 2}]


def test_mine_and_score(plait, made, judged, tmp_path):
    groups, scored = tmp_path / "groups.jsonl", tmp_path / "scored.jsonl"
    source = ["--source", "colbert:2:1-5", "--source", "random:1"]
    mined = plait("mine", made, *judged, "-o", groups, *source)
    assert mined.code == 0, mined.err
    figures = dict(line.rsplit(maxsplit=1) for line in mined.out.splitlines())
    assert figures["negatives: colbert"] == "4"
    assert figures["dropped: positive of the query"].isdigit()
    assert len(read_groups(groups)) == 2
    first = plait("score", groups, "-o", scored, "--teacher", "colbert")
    assert "8 pairs computed" in first.out
    scored.unlink()
    second = plait("score", groups, "-o", scored, "--teacher", "colbert", "--json")
    assert second.lines[0]["teachers"][0]["computed"] == 0
    assert all(len(json.loads(line)["scores"]) == 4 for line in scored.read_text().splitlines())


def test_a_judge_and_margins(plait, made, judged, tmp_path):
    mined = plait(
        *("mine", made, *judged, "-o", tmp_path / "g.jsonl", "--source", "colbert:5:1-6", "--no-fill"),
        *("--judge", "colbert", "--share", "0.3", "--cache", tmp_path / "scores", "--json"),
    )
    assert mined.code == 0, mined.err
    assert mined.lines[0]["dropped"]["score too close to the positive's"] >= 1
    assert (tmp_path / "scores").exists()


def test_wrong_names_are_errors_of_one_line(plait, made, judged, tmp_path):
    for more, word in (
        (["--source", "google"], "bi_encoder"),
        (["--judge", "oracle"], "KIND:PATH"),
        (["--share", "2"], "share"),
    ):
        failed = plait("mine", made, *judged, "-o", tmp_path / "g.jsonl", *more)
        assert failed.code == 1
        assert word in failed.err
        assert failed.err.count("\n") == 1
