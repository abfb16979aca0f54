"""The command line run in this process, and a small index made by it with the built-in model."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from plait.cli.main import app

DOCUMENTS = [
    {"_id": "paris", "title": "France", "text": "Paris is the capital of France.", "lang": "en"},
    {"_id": "berlin", "text": "Berlin is the capital of Germany.", "lang": "en", "year": 1990},
    {"_id": "bread", "text": "Bread is baked from flour, water, yeast and salt."},
    {"_id": "river", "text": "The Seine flows through Paris into the sea."},
    {"_id": "sea", "text": "Tides are caused by the moon.\nThey come twice a day."},
    {"_id": "moon", "text": "The moon goes round the earth in a month."},
]


QUESTION = "What is the capital of France?"
QUERIES = [
    {"_id": "q1", "text": QUESTION},
    {"_id": "q2", "text": "What makes the tides?"},
    {"_id": "q3", "text": "x"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\tparis\t2\nq1\tberlin\t0\nq2\tsea\t1\n"


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


Plait = Callable[..., Outcome]


def run_here(capsys_read: Callable, *args: object) -> Outcome:
    with pytest.raises(SystemExit) as ended:
        app([str(arg) for arg in args], prog_name="plait")
    out, err = capsys_read()
    return Outcome(ended.value.code or 0, out, err)


@pytest.fixture
def plait(capsys: pytest.CaptureFixture[str]) -> Plait:
    """Run a command line in this process."""
    return lambda *args: run_here(capsys.readouterr, *args)


def write_lines(path: Path, records: list[dict]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of DOCUMENTS."""
    return write_lines(tmp_path_factory.mktemp("corpus") / "docs.jsonl", DOCUMENTS)


@pytest.fixture(scope="session")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of DOCUMENTS. Not to be written to."""
    folder = tmp_path_factory.mktemp("made") / "index"
    with pytest.raises(SystemExit) as ended:
        app(["index", str(corpus), "-o", str(folder)], prog_name="plait")
    assert not ended.value.code
    return folder


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy of the index that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "own"))


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put text on the standard input."""
    import io

    return lambda text: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """A file of QUERIES."""
    return write_lines(tmp_path / "queries.jsonl", QUERIES)


@pytest.fixture
def qrels(tmp_path: Path) -> Path:
    """A file of QRELS."""
    (tmp_path / "qrels.tsv").write_text(QRELS)
    return tmp_path / "qrels.tsv"
