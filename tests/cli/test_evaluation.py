"""plait evaluate."""

import csv
import json

import pytest

from plait.evaluate import read_run

from .conftest import DOCUMENTS, QRELS, QUERIES, write_lines


def test_evaluate(plait, made, queries, qrels):
    done = plait("evaluate", made, "--queries", queries, "--qrels", qrels)
    assert (done.code, done.err) == (0, "")
    assert done.out == "queries     2\nnDCG@10     1.0000\nMRR@10      1.0000\nRecall@100  1.0000\n"


def test_evaluate_as_json_with_run(plait, made, queries, qrels, tmp_path):
    done = plait(
        *("evaluate", made, "--queries", queries, "--qrels", qrels, "--json"),
        *("--metrics", "Success@1,P@2", "--metrics", "AP(rel=2)@10", "--run", tmp_path / "out.trec", "-k", 4),
    )
    assert done.lines == [{"queries": 2, "metrics": {"Success@1": 1.0, "P@2": 0.5, "AP(rel=2)@10": 0.5}}]
    run = read_run(tmp_path / "out.trec")
    assert list(run) == ["q1", "q2"], "only judged queries are asked"
    assert [len(found) for found in run.values()] == [4, 4]


def test_evaluate_counts_judged_queries_that_are_missing(plait, made, tmp_path, qrels):
    queries = write_lines(tmp_path / "queries.jsonl", QUERIES[:1])
    done = plait("evaluate", made, "--queries", queries, "--qrels", qrels, "--json")
    assert json.loads(done.out)["metrics"]["MRR@10"] == 0.5
    assert done.err == "judged, but without a query, and counted as 0: 1\n"


@pytest.mark.parametrize(
    ("queries_text", "metrics", "message"),
    [
        (
            '{"_id": "other", "text": "x"}',
            "MRR@10",
            "no query has judgements: the first query's id is 'other'",
        ),
        ('{"_id": "q1", "text": "x"}', "nDGC@10", "can't compute the metric 'nDGC@10'"),
        ('{"_id": "q1"}', "MRR@10", "queries.jsonl, line 1: there is no text"),
    ],
)
def test_evaluate_errors(plait, made, tmp_path, qrels, queries_text, metrics, message):
    (tmp_path / "queries.jsonl").write_text(queries_text)
    failed = plait(
        *("evaluate", made, "--queries", tmp_path / "queries.jsonl", "--qrels", qrels, "--metrics", metrics)
    )
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")
    assert message in failed.err
    assert failed.err.count("\n") == 1


# ---- against other runs ----------------------------------------------------------------------------------

OTHER = "q1 Q0 berlin 1 9.5 x\nq1 Q0 paris 2 9.0 x\nq2 Q0 sea 1 1.0 x\n"


@pytest.fixture
def other(tmp_path):
    (tmp_path / "other.trec").write_text(OTHER)
    return tmp_path / "other.trec"


def test_an_index_against_a_run(plait, made, queries, qrels, other):
    done = plait("evaluate", made, "--queries", queries, "--qrels", qrels, "--against", other)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "queries  2"
    row = next(line for line in lines if line.startswith("MRR@10")).split()
    assert row[1:4] == ["1.0000", "0.7500", "+0.2500"]
    assert row[-3:] == ["1", "0", "1"], "better, worse, equal"
    told = done.out.partition("queries that changed most")[2]
    assert "q1 What is the capital of France?" in told
    assert "paris, relevant (2): rank 1, other rank 2" in told
    assert "q2" not in told


def test_a_run_against_a_run_without_an_index(plait, made, queries, qrels, other, tmp_path):
    run = tmp_path / "run.trec"
    plait("evaluate", made, "--queries", queries, "--qrels", qrels, "--run", run, "-k", 3)
    before = run.read_bytes()
    (shown,) = plait("evaluate", "--run", run, "--against", other, "--qrels", qrels, "--json").lines
    assert run.read_bytes() == before
    assert shown["queries"] == 2
    first = shown["comparisons"][0]
    assert (first["metric"], first["against"]) == ("nDCG@10", str(other))
    assert first["mean"] == shown["metrics"]["nDCG@10"] == 1.0
    (change,) = shown["changes"][str(other)]
    assert change["moves"][0] == {"id": "paris", "grade": 2, "rank": 1, "other_rank": 2}


def test_several_runs_are_corrected_for_their_number(plait, made, queries, qrels, other, tmp_path):
    worse = tmp_path / "worse.trec"
    worse.write_text("q1 Q0 berlin 1 1.0 x\nq2 Q0 moon 1 1.0 x\n")
    done = plait(
        *("evaluate", "--run", other, "--against", worse, "--against", other, "--qrels", qrels),
        *("--metrics", "MRR@10", "--changes", 0),
    )
    assert "p (Holm)" in done.out
    assert "changed most" not in done.out
    rows = [line.split() for line in done.out.splitlines() if line.startswith("MRR@10")]
    assert [row[3] for row in rows] == ["+0.7500", "+0.0000"]


def test_a_run_alone_and_its_queries(plait, qrels, other, tmp_path):
    done = plait(
        *("evaluate", "--run", other, "--qrels", qrels, "--metrics", "recip_rank,hit_rate@1"),
        *("--per-query", tmp_path / "values.csv"),
    )
    assert done.out == "queries     2\nrecip_rank  0.7500\nhit_rate@1  0.5000\n"
    rows = list(csv.DictReader((tmp_path / "values.csv").read_text().splitlines()))
    assert rows == [
        {"query": "q1", "recip_rank": "0.5", "hit_rate@1": "0.0"},
        {"query": "q2", "recip_rank": "1.0", "hit_rate@1": "1.0"},
    ]


def test_a_folder_in_beirs_form_has_it_all(plait, tmp_path):
    write_lines(tmp_path / "corpus.jsonl", DOCUMENTS)
    write_lines(tmp_path / "queries.jsonl", QUERIES)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS)
    assert plait("index", tmp_path, "-o", tmp_path / "index").code == 0
    done = plait("evaluate", tmp_path / "index", "--qrels", tmp_path, "--per-query", tmp_path / "v.json")
    assert "nDCG@10     1.0000" in done.out
    assert json.loads((tmp_path / "v.json").read_text())["q2"]["text"] == "What makes the tides?"


def test_runs_with_missing_queries(plait, qrels, tmp_path):
    (tmp_path / "part.trec").write_text("q1 Q0 paris 1 1.0 x\n")
    done = plait("evaluate", "--run", tmp_path / "part.trec", "--qrels", qrels, "--metrics", "MRR")
    assert done.out == "queries  2\nMRR      0.5000\n"
    assert done.err == f"judged, but not in {tmp_path / 'part.trec'}, and counted as 0: 1\n"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "give an index's folder, or a run with --run FILE"),
        (["--run", "other.trec", "-k", "3"], 2, "options of searches need a DIR"),
        (["--run", "other.trec", "--no-scan"], 2, "options of searches need a DIR"),
        (["--run", "other.trec", "--per-query", "v.txt"], 2, "--per-query writes .csv or .json"),
        (["--run", "other.trec", "--against", "none.trec"], 1, "none.trec: there is no such file"),
        (["--run", "foreign.trec"], 1, "foreign.trec has results for none of the 2 judged queries"),
        (["index"], 2, "an index needs --queries FILE"),
    ],
)
def test_wrong_usage(plait, qrels, other, monkeypatch, args, code, message):
    monkeypatch.chdir(other.parent)
    (other.parent / "foreign.trec").write_text("x1 Q0 a 1 1.0 x\n")
    failed = plait("evaluate", *args, "--qrels", qrels)
    assert (failed.code, failed.out) == (code, "")
    assert message in " ".join(failed.err.split())
    assert "Traceback" not in failed.err
