"""plait compare, with the built-in model on a handful of texts."""

import csv
import json

import pytest

from .conftest import DOCUMENTS, QRELS, QUERIES, write_lines

REST = "This text goes on for some words so that enough of it is left when a title or a sentence is taken."


@pytest.fixture
def folder(tmp_path):
    """A folder in BEIR's form."""
    (tmp_path / "beir" / "qrels").mkdir(parents=True)
    write_lines(tmp_path / "beir" / "corpus.jsonl", DOCUMENTS)
    write_lines(tmp_path / "beir" / "queries.jsonl", QUERIES)
    (tmp_path / "beir" / "qrels" / "test.tsv").write_text(QRELS)
    return tmp_path / "beir"


def test_compare_a_folder(plait, folder, tmp_path):
    done = plait("compare", folder, "--threads", 1, "-o", tmp_path / "out", "--work", tmp_path / "work")
    assert done.code == 0
    assert "beir: 6 documents, 2 judged queries, the best 100" in done.out
    rows = [line.split("|")[1].strip() for line in done.out.splitlines() if line.startswith("| ")]
    assert [row.removesuffix(" *") for row in rows[2:5]] == ["BM25", "bi-encoder", "exact MaxSim"][
        : len(rows[2:5])
    ]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    said = f"wrote {len(files)} files to {tmp_path / 'out'}: see {tmp_path / 'out' / 'report.md'}\n"
    assert done.err == said
    table = list(csv.DictReader((tmp_path / "out" / "report.csv").read_text().splitlines()))
    colbert = next(row for row in table if row["method"] == "ColBERT")
    assert float(colbert["nDCG@10"]) == 1.0
    assert (tmp_path / "work" / "index").is_dir()


def test_compare_as_json(plait, folder):
    files = ("--queries", folder / "queries.jsonl", "--qrels", folder / "qrels" / "test.tsv")
    (found,) = plait(
        *("compare", folder / "corpus.jsonl", *files, "--json", "--threads", 1, "--metrics", "MRR@10,hits@1"),
        *(
            "--methods",
            "bm25, rrf(bm25:5, colbert:5)",
            "--methods",
            "bm25:3 > colbert:2",
            "--baseline",
            "bm25",
        ),
    ).lines
    assert found["known_items"] is None
    names = [method["name"] for method in found["methods"]]
    assert names == ["BM25", "rrf(bm25:5, colbert:5)", "bm25:3 > colbert:2"]
    assert set(found["methods"][0]["values"]) == {"MRR@10", "hits@1"}


def test_without_judgements_every_output_says_so(plait, tmp_path):
    texts = [{"_id": doc["_id"], "title": f"All about {doc['_id']} today", "text": REST} for doc in DOCUMENTS]
    corpus = write_lines(tmp_path / "docs.jsonl", texts)
    asked = ("compare", corpus, "--methods", "bm25,colbert", "--known-items", 4, "--threads", 1)
    done = plait(*asked, "-o", tmp_path / "out")
    said = "There are no judgements: 4 known-item queries were made, each the title of a document"
    assert done.out.startswith(said)
    assert done.err.startswith(f"warning: {said}")
    assert said in (tmp_path / "out" / "report.md").read_text()
    assert said in json.loads(plait(*asked, "--json").out)["known_items"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--methods", "tfidf:10"], 1, "tfidf"),
        (["--methods", "bm25>cross"], 1, "needs a cross-encoder"),
        (["--queries", "queries.jsonl"], 1, "queries without judgements"),
        (["--metrics", "nDGC"], 1, "can't compute the metric 'nDGC'"),
        (["--baseline", "colbert", "--methods", "bm25"], 1, "the baseline 'colbert' is none of BM25"),
        (["-o", "queries.jsonl"], 2, "needs a folder"),
        (["--known-items", "0"], 2, "--known-items"),
    ],
)
def test_wrong_usage(plait, folder, monkeypatch, args, code, message):
    monkeypatch.chdir(folder)
    failed = plait("compare", "corpus.jsonl", *args)
    assert (failed.code, failed.out) == (code, "")
    assert message in " ".join(failed.err.split())
    assert "Traceback" not in failed.err
