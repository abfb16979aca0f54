"""Tables, files and charts of a comparison say what was measured, and what was made up."""

import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from plait.comparison import Latency, MethodResult, Report
from plait.evaluate import compare_with_baseline, evaluate, evaluate_queries, read_qrels, read_run
from plait.sources import read_queries

QUERIES = {str(number): f"what is {number}?" for number in range(30)}
QRELS = {query: {"right": 1} for query in QUERIES}
METRICS = ["MRR@10", "Recall@10"]


def method(name: str, right: int, ms: float, size: float, seconds: float | None = 2.0) -> MethodResult:
    """One that finds the right document first for so many queries, and second otherwise."""
    run = {query: {"right": 1.0, "wrong|one": 0.5 if int(query) < right else 1.5} for query in QUERIES}
    latency = Latency(ms, 2 * ms, ms / 2, ms, ms, 2 * ms, ms / 2, ms)
    values, each = evaluate(QRELS, run, METRICS), evaluate_queries(QRELS, run, METRICS)
    return MethodResult(
        name, "bm25:10", values, each, latency, {"bm25": ms}, 123.4, size, seconds, seconds, run
    )


def report(*methods: MethodResult, known: str | None = None) -> Report:
    values = {one.name: one.query_values for one in methods}
    against = compare_with_baseline(values, methods[0].name)
    of = (1234, QUERIES, QRELS, known, "an encoder", None, 10, 2, "a processor", 800.0)
    return Report("things", *of, list(methods), methods[0].name, against, ["A note."])


FAST, BEST = method("fast", 10, 1.0, 100), method("best > of all", 30, 50.0, 5000)
SLOW = method("slow", 12, 90.0, 200, None)


def test_the_frontier_is_what_nothing_beats():
    assert report(FAST, BEST, SLOW).frontier == ["fast", "best > of all"]
    assert report(SLOW, BEST).frontier == ["best > of all"]
    same = method("same", 10, 2.0, 100)
    assert report(same, FAST).frontier == ["fast"]


def test_the_table():
    text = str(report(FAST, BEST, SLOW))
    assert "things: 1,234 documents, 30 judged queries, the best 10; encoder an encoder; a processor." in text
    assert "A note." in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    cells = [cell.strip() for cell in lines["best > of all *"].split("|")[2:-1]]
    assert cells == ["1.0000 ↑", "1.0000", "50.0", "100", "25.0", "50.0", "123", "5,000", "2.0"]
    assert lines["slow"].split("|")[-2].strip() == "?", "the build was cut off"
    assert "↓" not in lines["slow"]
    assert "fast, best > of all." in text
    assert "Made-up" not in text


def test_made_up_queries_are_told_in_every_output(tmp_path):
    shown = report(FAST, BEST, known="There are no judgements: 30 known-item queries were made.")
    shown.write(tmp_path)
    for text in (str(shown), (tmp_path / "report.md").read_text()):
        assert "There are no judgements" in text[:200]
        assert "do not show which method answers" in text
        assert "30 known-item queries" in text
    assert "There are no judgements" in json.loads((tmp_path / "report.json").read_text())["known_items"]
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    assert all("There are no judgements" in row["known_items"] for row in rows)
    assert all("KNOWN ITEMS" in (tmp_path / name).read_text() for name in ("latency.svg", "size.svg"))
    assert read_queries(tmp_path / "queries.jsonl") == QUERIES
    assert read_qrels(tmp_path / "qrels.tsv") == QRELS


def test_files(tmp_path):
    shown = report(FAST, BEST, SLOW)
    written = shown.write(tmp_path / "new")
    assert all(path.is_file() for path in written)
    names = {str(path.relative_to(tmp_path / "new")) for path in written}
    assert names == {
        *("report.md", "report.csv", "report.json", "latency.svg", "size.svg"),
        *("runs/fast.trec", "runs/best-then-of-all.trec", "runs/slow.trec"),
        *("queries/fast.csv", "queries/best-then-of-all.csv", "queries/slow.csv"),
    }
    assert read_run(tmp_path / "new" / "runs" / "fast.trec") == FAST.run
    page = (tmp_path / "new" / "report.md").read_text()
    assert "(latency.svg)" in page
    assert "| best > of all | " in page.partition("## Is it chance?")[2]
    assert "wrong\\|one" not in page
    values = list(csv.DictReader((tmp_path / "new" / "queries" / "fast.csv").read_text().splitlines()))
    assert values[0] == {"query": "0", "text": "what is 0?", "MRR@10": "1.0", "Recall@10": "1.0"}


def test_json_and_csv_hold_all_figures(tmp_path):
    shown = report(FAST, BEST)
    shown.write(tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found == shown.as_json()
    best = found["methods"][1]
    assert best["values"]["MRR@10"] == 1.0
    assert best["latency"]["p95_encoded"] == 50.0
    (one, _) = found["comparisons"]["best > of all"]
    assert one["difference"] == pytest.approx(1 - FAST.values["MRR@10"])
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["fast", "best > of all"]
    assert float(rows[1]["MRR@10 p_holm"]) < 0.05
    assert rows[0]["MRR@10 p_holm"] == ""
    assert float(rows[1]["p50_ms"]) == 50.0


def test_ids_that_a_run_can_not_hold_do_not_lose_the_report(tmp_path):
    odd = replace(FAST, run={query: {"a b": 1.0} for query in QUERIES})
    written = report(odd, BEST).write(tmp_path)
    assert tmp_path / "report.md" in written
    assert not (tmp_path / "runs" / "fast.trec").exists()


def test_the_chart_shows_every_method_and_the_frontier(tmp_path):
    many = [method(f"m{n} {'with a long name ' * 3}<&", n, 1.0 + n % 7, 10.0 + n) for n in range(18)]
    report(*many).write(tmp_path)
    for name in ("latency.svg", "size.svg"):
        root = ET.fromstring((tmp_path / name).read_text())
        space = "{http://www.w3.org/2000/svg}"
        width, height = map(float, root.get("viewBox").split()[2:])
        for text in root.iter(f"{space}text"):
            assert 0 < float(text.get("x")) < width
            assert 0 < float(text.get("y")) < height
        assert sum(1 for text in root.iter(f"{space}text") if text.text and text.text[0].isdigit()) >= 36
        assert any(line.get("stroke-dasharray") for line in root.iter(f"{space}polyline"))


def test_one_method_alone(tmp_path):
    alone = report(FAST)
    assert "There is one method only." in alone.markdown()
    assert "↑" not in str(alone)
    alone.write(tmp_path)
