"""plait search, inspect, evaluate."""

import re
from pathlib import Path

import pytest

from plait import Index, SearchParams
from plait.evaluate import read_run

from .conftest import QRELS, QUESTION, write_lines

# ---- search ----------------------------------------------------------------------------------------------


def test_search(plait, made):
    found = plait("search", made, QUESTION, "-k", 2)
    assert (found.code, found.err) == (0, "")
    first, text, second, _ = found.out.splitlines()
    assert first.split()[::2] == ["1", "paris"]
    assert text == "     France Paris is the capital of France."
    assert second.split()[0] == "2"


def test_search_as_json_is_what_the_library_finds(plait, made):
    with Index.open(made) as index:
        hits = index.search(QUESTION, k=100)
    lines = plait("search", made, QUESTION, "-k", 100, "--json").lines
    assert [(line["rank"], line["id"], line["score"], line["text"]) for line in lines] == [
        (hit.rank, hit.id, hit.score, hit.text) for hit in hits
    ]
    assert lines[0]["metadata"] == {"title": "France", "lang": "en"}
    assert len(lines) == 6


def test_search_parameters_arrive(plait, made, monkeypatch):
    given = []
    monkeypatch.setattr(
        Index, "search", lambda self, query, k, **options: given.append((query, k, options)) or []
    )
    plait("search", made, "q", "--nprobe", 3, "--ndocs", 7, "--scan", "--threads", 1, "-k", 5)
    plait("search", made, "q", "--no-scan")
    plait("search", made, "q")
    plait("search", made, "q", "--recall-target", 0.9)
    plait("search", made, "q", "--filter", '{"year": {"$gte": 1990}}', "--id", "a", "--id", "b c")
    expected = SearchParams.for_k(5)
    assert given[0] == (
        "q",
        5,
        {
            "params": SearchParams(nprobe=3, ncandidates=expected.ncandidates, ndocs=7, scan=True),
            "threads": 1,
        },
    )
    assert given[1][2]["params"].scan is False
    assert given[2] == ("q", 10, {"threads": None})
    assert given[3] == ("q", 10, {"recall_target": 0.9, "threads": None})
    assert given[4] == (
        "q",
        10,
        {"filter": {"year": {"$gte": 1990}}, "ids": ["a", "b c"], "threads": None},
    )
    both = plait("search", made, "q", "--recall-target", 0.9, "--nprobe", 3)
    assert both.code == 2
    assert "not both" in both.err


def test_search_with_a_filter(plait, made, queries, tmp_path):
    found = plait("search", made, "capital", "--filter", '{"year": {"$lt": 2000}}', "--json")
    assert [hit["id"] for hit in found.lines] == ["berlin"]
    found = plait(
        "search", made, "capital", "--filter", '{"lang": "en"}', "--id", "paris", "--id", "sea", "--json"
    )
    assert [hit["id"] for hit in found.lines] == ["paris"]
    run = tmp_path / "run.txt"
    assert plait("search", made, "--queries", queries, "--run", run, "--filter", '{"lang": "en"}').code == 0
    assert {line.split()[2] for line in run.read_text().splitlines()} == {"paris", "berlin"}


@pytest.mark.parametrize(
    ("filter", "code", "message"),
    [
        ("{", 2, "not valid JSON"),
        ("[1]", 2, "expected is an object such as"),
        ('{"yaer": 3}', 1, "error: filter['yaer'] tests a field that no document has"),
        ('{"year": {"$gt": null}}', 1, "error: filter['year']['$gt'] must be a number or a string"),
    ],
)
def test_wrong_filters(plait, made, filter, code, message):
    failed = plait("search", made, "capital", "--filter", filter)
    assert (failed.code, failed.out) == (code, "")
    assert message in failed.err


def test_long_and_hostile_texts_are_shown_on_two_lines(plait, tmp_path):
    text = "moon \x1b[31mred\x07 [bold]tides[/bold] " + "water " * 200
    plait(
        "index", write_lines(tmp_path / "d.jsonl", [{"_id": "a\x1b", "text": text}]), "-o", tmp_path / "new"
    )
    lines = plait("search", tmp_path / "new", "moon").out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("     moon  [31mred  [bold]tides[/bold] water")
    assert lines[2].endswith(" ...")
    assert all(len(line) <= 100 and line.isprintable() for line in lines)


def test_search_with_a_file_of_queries(plait, made, queries, tmp_path):
    done = plait("search", made, "--queries", queries, "--run", tmp_path / "out.trec", "-k", 3)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"wrote the results of 3 queries to {tmp_path / 'out.trec'}\n"
    run = read_run(tmp_path / "out.trec")
    with Index.open(made) as index:
        assert list(run["q1"].items()) == [(hit.id, hit.score) for hit in index.search(QUESTION, k=3)]
    assert list(run) == ["q1", "q2", "q3"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "give either a QUERY or --queries FILE"),
        (["q", "--queries", "f", "--run", "g"], "give either a QUERY or --queries FILE"),
        (["--queries", "f"], "--queries FILE and --run FILE belong together"),
        (["q", "--run", "g"], "--queries FILE and --run FILE belong together"),
        (["--queries", "f", "--run", "g", "--json"], "--json is for a single QUERY"),
        (["q", "-k", "0"], "'-k'"),
        (["q", "-k", "many"], "'-k'"),
        (["q", "--nprobe", "0"], "'--nprobe'"),
        (["q", "--unknown"], "--unknown"),
    ],
)
def test_wrong_usage(plait, made, args, message):
    failed = plait("search", made, *args)
    assert (failed.code, failed.out) == (2, "")
    assert message in failed.err
    assert "Traceback" not in failed.err


@pytest.mark.parametrize("query", ["", " \n", "\udcff"])
def test_queries_that_can_not_be_asked(plait, made, query):
    failed = plait("search", made, query)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")
    assert failed.err.count("\n") == 1


@pytest.mark.parametrize("command", ["search", "evaluate"])
def test_ids_that_a_run_can_not_hold_are_reported_before_the_search(
    plait, made, tmp_path, monkeypatch, command
):
    monkeypatch.setattr(Index, "search_all", None)
    queries = write_lines(tmp_path / "queries.jsonl", [{"_id": "q 1", "text": QUESTION}])
    (tmp_path / "qrels.tsv").write_text(QRELS.replace("q1", "q 1"))
    judged = ["--qrels", tmp_path / "qrels.tsv"] if command == "evaluate" else []
    failed = plait(command, made, "--queries", queries, "--run", tmp_path / "out.trec", *judged)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == "error: a TREC run can't hold the query id 'q 1': no spaces are allowed\n"
    assert not (tmp_path / "out.trec").exists()


# ---- search --pipeline -----------------------------------------------------------------------------------

CROSS_ENCODER = Path(__file__).parents[1] / "golden" / "cross_encoders" / "ce-bert"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def test_search_in_stages(plait, made):
    stages = ("--pipeline", "colbert:4 > cross:2", "--cross-encoder", CROSS_ENCODER)
    found = plait("search", made, QUESTION, *stages)
    assert (found.code, found.err) == (0, "")
    head, first, text, second, *_, last = found.out.splitlines()
    assert head.split() == ["colbert", "cross_encoder"]
    assert len(first.split()) == len(second.split()) == 4
    assert text.startswith("     ")
    assert re.fullmatch(r"[\d.]+ ms: encode [\d.]+, colbert [\d.]+, cross_encoder [\d.]+", last)
    (told,) = plait("search", made, QUESTION, *stages, "--json", "-k", 3).lines
    assert [hit["rank"] for hit in told["hits"]] == [1, 2, 3]
    assert first.split()[1] == told["hits"][0]["id"]
    assert all(set(hit["scores"]) == {"colbert", "cross_encoder"} for hit in told["hits"])
    assert (list(told["timings"]), told["complete"]) == (["encode", "colbert", "cross_encoder"], True)


def test_search_within_a_budget(plait, made):
    stages = ("--pipeline", "colbert:4 > colbert:2", "--budget", 0.0001)
    out = plait("search", made, QUESTION, *stages).out
    assert "paris" in out.splitlines()[1]
    assert "colbert_2 ran out of time" in out
    assert "colbert took longer than its time" in out
    (told,) = plait("search", made, QUESTION, *stages, "--json").lines
    assert (len(told["hits"]), told["complete"], told["stopped"]) == (2, False, ["colbert_2"])


def test_a_pipeline_from_a_file_finds_a_run(plait, made, queries, tmp_path):
    (tmp_path / "stages.toml").write_text('pipeline = "colbert:4 > colbert:3"\n')
    run = tmp_path / "run.txt"
    options = ("--run", run, "--pipeline", tmp_path / "stages.toml", "--filter", '{"lang": "en"}')
    assert plait("search", made, "--queries", queries, *options).code == 0
    assert {line.split()[2] for line in run.read_text().splitlines()} == {"paris", "berlin"}


def test_evaluate_in_stages(plait, made, queries, qrels, tmp_path):
    judged = ("evaluate", made, "--queries", queries, "--qrels", qrels)
    whole = plait(*judged)
    assert plait(*judged, "--pipeline", "colbert:6 > colbert:6").out == whole.out
    stages = ("--pipeline", "colbert:6 > cross:6", "--cross-encoder", CROSS_ENCODER)
    worse = plait(*judged, *stages, "--run", tmp_path / "run.txt")
    assert worse.code == 0
    assert worse.out != whole.out, "this cross-encoder has learnt nothing"
    assert len(read_run(tmp_path / "run.txt")["q1"]) == 6


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (
            ["--pipeline", "colbert:3 >"],
            1,
            "error: pipeline 'colbert:3 >', column 12: expected is a reranker",
        ),
        (["--pipeline", "colbert:3 > cross:2"], 1, "or --cross-encoder"),
        (["--pipeline", "colbert:3", "--nprobe", "3"], 2, "--nprobe belongs to a search without --pipeline"),
        (["--pipeline", "nowhere.toml"], 1, "error: there is no file nowhere.toml"),
        (["--budget", "5"], 2, "--budget and --cross-encoder belong to --pipeline"),
        (["--pipeline", "colbert:3", "--budget", "0"], 2, "'--budget'"),
    ],
)
def test_wrong_pipelines(plait, made, args, code, message):
    failed = plait("search", made, QUESTION, *args)
    assert (failed.code, failed.out) == (code, "")
    assert message in failed.err


# ---- inspect ---------------------------------------------------------------------------------------------


def test_inspect(plait, made):
    shown = plait("inspect", made)
    assert (shown.code, shown.err) == (0, "")
    figures = dict(line.split("  ", 1) for line in shown.out.splitlines() if not line.startswith(" "))
    figures = {name: value.strip() for name, value in figures.items()}
    assert figures["index"] == str(made)
    assert figures["documents"] == "6"
    assert int(figures["bytes on disk"].replace(",", "")) > 1000
    assert "search recall" not in shown.out


def test_inspect_as_json(plait, made):
    (stats,) = plait("inspect", made, "--json").lines
    with Index.open(made) as index:
        assert stats["tokens"] == index.stats().tokens


def test_inspect_recall(plait, made, queries):
    (stats,) = plait("inspect", made, "--json", "--recall", "-k", 3).lines
    assert stats["recall"]["search_recall"] == 1.0
    assert (stats["recall"]["k"], stats["recall"]["nqueries"]) == (3, 6)
    shown = plait("inspect", made, "--recall", "--queries", queries).out
    assert "search recall" in shown
    assert "1.000\n" in shown
