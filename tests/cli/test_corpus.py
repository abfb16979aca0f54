"""plait index, add, upsert."""

import json
import subprocess
import sys

import pytest

from plait.store import IndexWriter

from .conftest import DOCUMENTS, write_lines


def documents_in(plait, folder):
    return json.loads(plait("inspect", folder, "--json").out)["documents"]


# ---- index -----------------------------------------------------------------------------------------------


def test_index(plait, corpus, tmp_path):
    done = plait("index", corpus, "-o", tmp_path / "new", "--nbits", 2, "--threads", 1)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"indexed 6 documents in {tmp_path / 'new'}\n"
    stats = json.loads(plait("inspect", tmp_path / "new", "--json").out)
    assert (stats["documents"], stats["nbits"]) == (6, 2)


def test_index_without_the_other_stages(plait, corpus, tmp_path):
    new = tmp_path / "new"
    assert plait("index", corpus, "-o", new, "--no-bm25", "--no-bi-encoder").code == 0
    for stage, name in (("bm25:2", "BM25"), ("bi:2", "bi-encoder")):
        failed = plait("search", new, "tides", "--pipeline", stage)
        assert (failed.code, failed.out) == (1, "")
        assert f"was made without {'a ' if name[0] == 'b' else ''}{name}" in failed.err
    assert "none: `plait compact --bi-encoder` adds them" in plait("inspect", new).out
    assert plait("search", new, "tides", "-k", 1).code == 0


def test_index_numbers_documents_without_ids_and_add_goes_on(plait, stdin, tmp_path):
    stdin('{"text": "one fish"}\n{"text": "two fish"}\n')
    assert plait("index", "-", "-o", tmp_path / "new").code == 0
    stdin('{"text": "red fish"}\n')
    assert plait("add", tmp_path / "new", "-").code == 0
    assert [plait("get", tmp_path / "new", key, "--json").lines[0]["text"] for key in "012"] == [
        "one fish",
        "two fish",
        "red fish",
    ]


def test_index_of_a_folder_of_pages(plait, tmp_path):
    (tmp_path / "pages" / "a").mkdir(parents=True)
    (tmp_path / "pages" / "a" / "my page.md").write_text("# Tides\n\nThe moon causes them.")
    assert plait("index", tmp_path / "pages", "-o", tmp_path / "new").code == 0
    assert plait("search", tmp_path / "new", "moon", "--json").lines[0]["id"] == "a/my page.md"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"_id": "a", "text": "x"}\n{"_id": "b"', "docs.jsonl, line 2: not valid JSON"),
        ('{"_id": "a", "text": ""}\n', "docs.jsonl, line 1: the text is empty"),
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "line 2: the id 'a' was used before"),
    ],
)
def test_a_broken_record_leaves_no_index(plait, tmp_path, lines, message):
    (tmp_path / "docs.jsonl").write_text(lines)
    failed = plait("index", tmp_path / "docs.jsonl", "-o", tmp_path / "new")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")
    assert message in failed.err
    assert failed.err.endswith("(--skip-bad-lines leaves such records out)\n")
    assert failed.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_skip_bad_lines(plait, tmp_path):
    (tmp_path / "docs.jsonl").write_text('{"text": "x"}\n{\n{"text": ""}\n{"text": "y"}\n')
    done = plait("index", tmp_path / "docs.jsonl", "-o", tmp_path / "new", "--skip-bad-lines")
    assert done.code == 0
    assert done.out.startswith("indexed 2 documents")
    assert "skipped 2 bad records; the first: " in done.err
    assert "docs.jsonl, line 2: not valid JSON" in done.err


def test_a_failure_after_the_index_was_made_leaves_nothing(plait, corpus, tmp_path, monkeypatch):
    from plait import Index

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "segment")

    with monkeypatch.context() as broken:
        broken.setattr(Index, "add", full)
        failed = plait("index", corpus, "-o", tmp_path / "new")
    assert (failed.code, failed.err) == (1, "error: segment: No space left on device\n")
    assert not (tmp_path / "new").exists()
    assert plait("index", corpus, "-o", tmp_path / "new").code == 0


def test_index_does_not_touch_what_is_there(plait, corpus, own, tmp_path):
    failed = plait("index", corpus, "-o", own)
    assert failed.code == 1
    assert failed.err.startswith(
        f"error: {own} exists already and holds 6 documents: use --resume, `plait add`"
    )
    assert documents_in(plait, own) == 6
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    assert plait("index", corpus, "-o", tmp_path / "letters").code == 1
    assert (tmp_path / "letters" / "dear.txt").read_text() == "Dear"


@pytest.mark.parametrize("nbits", [4, 2])
def test_index_over_the_remains_of_a_killed_run(plait, corpus, tmp_path, nbits):
    from plait import Index

    new = tmp_path / "new"
    Index.create(new).close()
    (new / "segments" / "000001").mkdir(parents=True)
    (new / "segments" / "000001" / "doclens.npy").write_bytes(b"half")
    done = plait("index", corpus, "-o", new, "--nbits", nbits)
    assert (done.code, done.out) == (0, f"indexed 6 documents in {new}\n")
    stats = json.loads(plait("inspect", new, "--json").out)
    assert (stats["documents"], stats["nbits"]) == (6, nbits)


def test_index_does_not_touch_an_empty_index_with_other_files(plait, corpus, tmp_path):
    from plait import Index

    Index.create(tmp_path / "new").close()
    (tmp_path / "new" / "dear.txt").write_text("Dear")
    failed = plait("index", corpus, "-o", tmp_path / "new")
    assert failed.code == 1
    assert failed.err.startswith(f"error: {tmp_path / 'new'} exists already")
    assert (tmp_path / "new" / "dear.txt").read_text() == "Dear"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing.jsonl", "-o", "new"], "nothing.jsonl: there is no such file or folder"),
        (["{corpus}", "-o", "new", "--nbits", "3"], "nbits"),
        (["{corpus}", "-o", "new", "--model", "nowhere"], "nowhere"),
    ],
)
def test_index_errors(plait, corpus, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    failed = plait("index", *(arg.format(corpus=corpus) for arg in args))
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")
    assert message in failed.err
    assert failed.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


# ---- add and delete --------------------------------------------------------------------------------------


def test_add(plait, own, tmp_path):
    more = write_lines(tmp_path / "more.jsonl", [{"_id": "rome", "text": "Rome is the capital of Italy."}])
    done = plait("add", own, more)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"added 1 document to {own}, which now holds 7\n"
    assert plait("search", own, "Which city is Italy's capital?", "--json").lines[0]["id"] == "rome"


def test_add_of_a_known_id_changes_nothing(plait, own, tmp_path):
    more = write_lines(tmp_path / "more.jsonl", [{"_id": "rome", "text": "Rome"}, DOCUMENTS[0]])
    failed = plait("add", own, more)
    assert (failed.code, failed.out) == (1, "")
    assert "'paris'" in failed.err
    assert documents_in(plait, own) == 6


@pytest.mark.parametrize("command", [["add", "nothing", "docs"], ["upsert", "nothing", "docs"]])
def test_no_index_there(plait, command):
    failed = plait(*command)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")
    assert "nothing" in failed.err


def test_index_with_declared_fields(plait, tmp_path):
    source = write_lines(tmp_path / "d.jsonl", [{"_id": "a", "text": "The sea.", "year": 1990, "a:b": "x"}])
    new = tmp_path / "new"
    assert plait("index", source, "-o", new, "--field", "year:int", "--field", "a:b:str").code == 0
    assert plait("count", new, "--filter", '{"year": {"$gte": 1990}, "a:b": "x"}').out == "1\n"
    wrong = plait("count", new, "--filter", '{"year": "1990"}')
    assert "'year' is declared as int and can't be compared with '1990'" in wrong.err
    refused = plait(
        "add", new, write_lines(tmp_path / "e.jsonl", [{"_id": "b", "text": "x", "year": "1990"}])
    )
    assert "the metadata of document 0['year'] is declared as int, but is '1990'" in refused.err
    other = plait("index", source, "-o", new, "--resume", "--field", "year:str")
    assert "was made with fields {'year': 'int', 'a:b': 'str'}, not {'year': 'str'}" in other.err
    assert plait("index", source, "-o", new, "--field", "year:date").code == 2


def test_add_in_batches_and_resume(plait, own, tmp_path):
    new = [{"_id": f"d{number}", "text": f"Text {number}."} for number in range(5)]
    source = write_lines(tmp_path / "d.jsonl", [*new[:3], {"_id": "sea", "text": "Once more."}, *new[3:]])
    failed = plait("add", own, source, "--batch-size", 2)
    assert failed.code == 1
    assert "'sea' is in the index already" in failed.err
    assert documents_in(plait, own) == 8, "the first batch stays"
    done = plait("add", own, source, "--batch-size", 2, "--resume")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"added 3 documents to {own}, which now holds 11\n"


def test_resume_needs_ids(plait, own, tmp_path):
    failed = plait("add", own, write_lines(tmp_path / "d.jsonl", [{"text": "The sea."}]), "--resume")
    assert failed.code == 2
    assert "the records have no ids" in failed.err


def test_index_goes_on_after_a_kill(tmp_path, plait):
    """The first build is cut off between two of its commits; the level it was made with is kept."""
    source = write_lines(tmp_path / "d.jsonl", [{"text": f"The text number {n} of them."} for n in range(60)])
    script = """
import os, sys
from plait.cli.main import app
from plait.store import IndexWriter
add, calls = IndexWriter.add, []
def killed(*args, **options):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), 9)
    return add(*args, **options)
IndexWriter.add = killed
app(sys.argv[1:], prog_name="plait")
"""
    arguments = ["index", str(source), "-o", str(tmp_path / "new"), "--level", "compact"]
    arguments += ["--batch-size", "10"]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert killed.returncode == -9
    assert documents_in(plait, tmp_path / "new") == 30
    refused = plait(*arguments)
    assert "use --resume" in refused.err
    other = plait("index", source, "-o", tmp_path / "new", "--level", "precise", "--resume")
    assert other.code == 2
    assert "was made with level compact, not precise" in other.err
    done = plait(*arguments, "--resume")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"indexed 30 documents in {tmp_path / 'new'}, which now holds 60\n"
    assert plait("get", tmp_path / "new", "59", "--json").lines[0]["text"] == "The text number 59 of them."


def test_an_index_with_commits_stays_after_an_interruption(tmp_path, plait, monkeypatch):
    source = write_lines(tmp_path / "d.jsonl", [{"text": f"The text number {n} of them."} for n in range(30)])
    add, calls = IndexWriter.add, []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return add(*args, **options)

    monkeypatch.setattr(IndexWriter, "add", interrupted)
    new = tmp_path / "new"
    stopped = plait("index", source, "-o", new, "--batch-size", 10)
    assert stopped.code == 130
    assert stopped.err == f"10 documents are in {new}; --resume goes on from there\ninterrupted\n"
    assert plait("index", source, "-o", new, "--resume").code == 0
    assert documents_in(plait, new) == 30


# ---- upsert ----------------------------------------------------------------------------------------------


def test_upsert(plait, own, tmp_path):
    new = [{"_id": "sea", "text": "The sea is salt."}, {"_id": "hill", "text": "Hills are low mountains."}]
    done = plait("upsert", own, write_lines(tmp_path / "d.jsonl", new))
    assert (done.code, done.err) == (0, "")
    assert done.out == f"added 1 document to {own} and replaced 1; it now holds 7\n"
    assert plait("get", own, "sea", "--json").lines[0]["text"] == "The sea is salt."


def test_upsert_needs_ids(plait, own, tmp_path):
    failed = plait("upsert", own, write_lines(tmp_path / "d.jsonl", [{"text": "The sea is salt."}]))
    assert failed.code == 2
    assert "the records have no ids" in failed.err
    assert documents_in(plait, own) == 6
