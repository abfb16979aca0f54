"""Tables and charts say what the result lines say, and stale ones are noticed."""

import importlib
import json
import sys
import xml.etree.ElementTree as ET

import pytest

FACTS = {"version": "1", "cpu_model": "a processor", "documents": 1000, "tokens": 80_000, "dim": 128}
PARAMS = {"k": 10, "query_tokens": 32, "nbits": 4, "name": "default"}
TIMES = {"cpu_ms": 1.5, "cpu_ms_p95": 2.0, "wall_ms": 1.6, "wall_ms_p95": 2.1, "threads": 1}
TIMED = ("p50", "cpu_p50", "cpu_p95", "cpu_p50_encoded", "cpu_p95_encoded")
LEVEL = {"level": "compact"}
RECALLS = {"recall": 0.9, "search_recall": 0.95}
LINES = {
    "startup": [
        {"benchmark": "startup", "params": {"what": "import plait"}, "cpu_ms": 1.25, "process_cpu_ms": 20.0}
    ],
    "search": [{"benchmark": "search", "params": PARAMS, **TIMES, **RECALLS}],
    "rivals": [{"benchmark": "search", "engine": "other", "params": PARAMS, **TIMES, "recall": 0.8}],
    "scale": [
        {"benchmark": "scale", "index": LEVEL, "params": PARAMS, **TIMES, **RECALLS},
        {"benchmark": "scale", "index": LEVEL, "params": PARAMS, **TIMES, **RECALLS}
        | {"documents": 1_000_000, "cpu_ms": 9.0},
        {"benchmark": "throughput", "index": LEVEL, "params": PARAMS, "threads": 2, "qps": 123.0},
    ],
    "alternatives": [{"benchmark": "alternatives", "params": {"k": 10}, "build_cpu_s": 3, **TIMES}],
    "compare": [
        {"benchmark": "compare", "collection": name, "queries": 50, "encoder": "words", "k": 100,
         "method": method, "baseline": "BM25", "values": {"nDCG@10": value, "MRR@10": value},
         "tests": tests, "latency_ms": dict.fromkeys(TIMED, ms),
         "qps": 1000 / ms, "bytes_per_document": 1234, "build_cpu_s": 60.0, "documents": size}
        for name, size in (("one", 500), ("two", 9000))
        for method, value, ms, tests in (
            ("BM25", 0.3, 0.5, {}),
            ("ColBERT", 0.4, 12.0, {"nDCG@10": {"difference": 0.1, "p_holm": 0.01}}),
            ("slower", 0.35, 80.0, {"nDCG@10": {"difference": 0.05, "p_holm": 0.2}}),
        )
    ],
    "bm25": [{"benchmark": "bm25", "answer": "scores", "k": 10, "build_cpu_s": 3, "bytes_per_document": 170,
              "queries": 200, "agreement": 1.0, **TIMES}],
    "codecs": [
        {"benchmark": "codecs", "codec": "scaled", "bits": bits, "collection": "one", "kept": kept,
         "kept_low": kept, "kept_high": kept, "overlap_10": kept, "overlap_100": kept,
         "bytes_per_token": 16 * bits}
        for bits, kept in ((1, 0.9), (2, 0.99))
    ],
}  # fmt: skip


@pytest.fixture
def results(script, tmp_path, monkeypatch):
    """A folder of results that is empty at first."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(script("records"), "RESULTS", folder)
    return folder


@pytest.fixture
def filled(results):
    for name, lines in LINES.items():
        text = "".join(json.dumps({"engine": "plait"} | FACTS | line) + "\n" for line in lines)
        (results / f"{name}.jsonl").write_text(text)
    return results


@pytest.fixture
def run(script, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        script("report").main()

    return call


def test_report_fills_the_marked_parts_and_notices_stale_ones(filled, run, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: startup -->\nold\n<!-- end -->\nafter\n")
    with pytest.raises(SystemExit, match=r"page\.md"):
        run("--check", page)
    run(page)
    text = page.read_text()
    assert "| import plait | 1.2 | 20.0 |" in text
    assert text.startswith("before\n") and text.endswith("<!-- end -->\nafter\n")
    run("--check", page)


def test_charts_that_a_page_shows_are_drawn_and_checked(filled, run, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("![time](benchmarks/latency_size.svg)\n")
    with pytest.raises(SystemExit, match=r"latency_size\.svg"):
        run("--check", page)
    run(page)
    run("--check", page)
    chart = tmp_path / "benchmarks" / "latency_size.svg"
    assert "plait, level compact, k = 10" in chart.read_text()
    lines = (filled / "scale.jsonl").read_text()
    (filled / "scale.jsonl").write_text(lines.replace('"cpu_ms": 9.0', '"cpu_ms": 7.0'))
    with pytest.raises(SystemExit, match=r"latency_size\.svg"):
        run("--check", page)


def test_a_chart_or_table_that_does_not_exist_is_named(filled, run, tmp_path):
    page = tmp_path / "page.md"
    for text in ("![x](benchmarks/nothing.svg)", "<!-- generated: nothing -->\n<!-- end -->"):
        page.write_text(text)
        with pytest.raises(SystemExit, match="nothing"):
            run(page)


def test_every_table_and_chart_can_be_made_without_results(script, results):
    assert all(made() for made in script("tables").TABLES.values())
    for made in script("charts").CHARTS.values():
        ET.fromstring(made())


def test_charts_are_svg_that_shows_every_point_inside(script, filled):
    for name, made in script("charts").CHARTS.items():
        drawing = made()
        assert drawing == made()
        if name == "latency_recall_100":  # nothing was measured for it
            continue
        root = ET.fromstring(drawing)
        assert root.find("{*}title") is not None
        for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
            assert 60 <= float(circle.get("cx")) <= 740 and 55 <= float(circle.get("cy")) <= 400, name


def test_tables_join_what_belongs_together(script, filled):
    tables = script("tables").TABLES
    assert "| 1,000,000 | level compact | 10 | 0.950 | 0.900 | 9.0 |" in tables["scale"]()
    assert "123" in tables["scale"]()
    assert "| scaled | 2 | 32 | 0.99 | 0.99 | 0.99 |" in tables["codecs"]()


def test_machines_are_all_named(script):
    machines = script("records").machines
    assert machines([{"cpu_model": name} for name in "ABA"]) == "A and B"


def test_frontier_keeps_what_nothing_beats(script):
    points = [(0.9, 2.0), (0.8, 1.0), (0.85, 3.0), (0.95, 4.0), (0.9, 2.5)]
    assert script("records").frontier(points) == [(0.8, 1.0), (0.9, 2.0), (0.95, 4.0)]


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.61, 0.94, False, [0.6, 0.7, 0.8, 0.9, 1.0]),
        (3, 3, False, [3.0, 3.5]),
        (1.2, 98, True, [1, 2, 5, 10, 20, 50, 100]),
        (10_000, 10_000_000, True, [10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1e6, 2e6, 5e6, 1e7]),
        (0.13, 240, True, [0.1, 1, 10, 100, 1000]),
        (5, 5, True, [5, 10]),
    ],
)
def test_ticks_are_round_and_hold_all_values(script, low, high, log, expected):
    assert list(importlib.import_module("plait.svg").axis("x", [low, high], log).ticks) == expected


def test_methods_side_by_side(filled, script):
    tables = script("compare_tables")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables.compare().splitlines()]
    assert ["nDCG@10", "one", "two", "mean", "ms", "p95", "encoded", "bytes/doc", "build s"] in rows
    assert ["ColBERT", "0.400 ↑", "0.400 ↑", "0.400", "12.0", "12.0", "12.0", "1,234", "60"] in rows
    assert any(row[:2] == ["slower", "0.350"] for row in rows), "not significant"
    assert "on two; a processor" in tables.compare()
    everything = tables.compare_all()
    assert "**one** (500 documents, 50 queries" in everything
    assert everything.count("| BM25 |") == 2


def test_the_frontier_leaves_out_what_is_slower_and_worse(filled, script):
    root = ET.fromstring(script("compare_tables").compare_latency())
    (line, _) = (
        line for line in root.iter("{http://www.w3.org/2000/svg}polyline") if line.get("stroke-dasharray")
    )
    assert len(line.get("points").split()) == 2
