"""Streams of documents: batches that are commits, no reading ahead, going on after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import errors
from plait.types import TokenEmbeddings
from tests.conftest import clustered

ROOT = str(Path(__file__).parents[1])


def documents(count: int, start: int = 0) -> Iterator[plait.Document]:
    for number in range(start, start + count):
        yield plait.Document(f"d{number}", f"document number {number} of a stream", {"number": number})


@pytest.fixture
def index(tmp_path: Path) -> plait.Index:
    return plait.Index.create(tmp_path / "index")


def test_each_batch_is_a_commit_and_nothing_is_read_ahead(index):
    """Another process that died now would leave what a reader sees here."""
    seen = []

    def watched() -> Iterator[plait.Document]:
        with plait.Index.open(index.path) as reader:
            for document in documents(10):
                seen.append(len(reader))
                yield document

    assert index.add(watched(), batch_size=4) == 10
    assert seen == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]
    assert list(index.ids()) == [f"d{number}" for number in range(10)]
    assert index.get("d7") == plait.Document("d7", "document number 7 of a stream", {"number": 7})
    assert index.search("document number 7", 3, filter={"number": 7})[0].id == "d7"


def test_what_a_stream_may_consist_of(index):
    items = [
        "a text",
        {"text": "a dict", "metadata": {"a": 1}},
        {"text": "another", "id": "x"},
        *documents(1),
    ]
    assert index.add(iter(items), batch_size=2) == 4
    assert [(document.id, document.text, document.metadata) for document in index] == [
        ("0", "a text", {}),
        ("1", "a dict", {"a": 1}),
        ("x", "another", {}),
        ("d0", "document number 0 of a stream", {"number": 0}),
    ]
    assert index.add([plait.Document("y", "from a list")], batch_size=5) == 1
    with pytest.raises(errors.EmptyText):
        index.add([*documents(3, start=7), plait.Document("z", " ")])
    assert index.add([*documents(3, start=7), {"text": "a dict", "id": "z"}]) == 4
    assert len(index) == 9


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (3, errors.InvalidParameter, "document 5 must be a string, a plait.Document, or a dict"),
        ({"id": "x"}, errors.InvalidParameter, "document 5 must be a string"),
        ({"text": 3}, errors.InvalidParameter, "the text of document 5 must be a string, not 3"),
        (plait.Document("x"), errors.InvalidParameter, "document 5 has no text"),
        ({"text": "x", "id": ""}, errors.InvalidParameter, r"ids\[5\] is empty"),
        (
            {"text": "x", "metadata": {"a": {1}}},
            errors.InvalidParameter,
            r"metadata\[5\] can't be kept as JSON",
        ),
        ({"text": " "}, errors.EmptyText, "empty"),
        (plait.Document("d1", "again"), errors.DuplicateId, "'d1' is in the index already"),
        (plait.Document("d4", "again"), errors.DuplicateId, "d4"),
    ],
)
def test_an_error_leaves_the_batches_before_it(index, wrong, error, message):
    def stream() -> Iterator[object]:
        yield from documents(5)
        yield wrong
        yield from documents(5, start=5)

    with pytest.raises(error, match=message):
        index.add(stream(), batch_size=3)
    assert list(index.ids()) == ["d0", "d1", "d2"]
    assert len(list((index.path / "segments").iterdir())) == 1
    assert index.add(documents(10), batch_size=3, skip_existing=True) == 7
    assert list(index.ids()) == [f"d{number}" for number in range(10)]


def test_wrong_arguments(index):
    for wrong, message in [
        ({"texts": documents(1), "ids": ["a"]}, "ids, metadata and vectors belong to lists"),
        ({"texts": documents(1), "batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"vectors": [np.ones((1, 128))], "skip_existing": True}, "belong to streams"),
        ({"texts": iter(["a text"]), "skip_existing": True}, "skip_existing needs documents with ids"),
        ({"texts": "one text", "batch_size": 3}, "list of strings, not one string"),
    ]:
        with pytest.raises(errors.InvalidParameter, match=message):
            index.add(**wrong)
    with pytest.raises(errors.EmptyCorpus):
        index.add(iter([]))
    assert len(index) == 0


def test_a_stream_in_a_transaction_is_one_commit(index):
    with pytest.raises(errors.EmptyText), index.transaction():
        index.add(documents(5), batch_size=2)
        index.add(iter([" "]), batch_size=2)
    assert len(index) == 0
    with index.transaction():
        index.add(documents(5), batch_size=2)
    assert len(index) == 5


def test_progress_counts_all_batches(index):
    told: list[tuple[str, int, int]] = []
    index.add(documents(10), batch_size=4, expected=10, progress=lambda *one: told.append(one))
    encoded = [(done, total) for stage, done, total in told if stage == "encode"]
    assert encoded[-1] == (10, 10)
    assert {total for _, total in encoded} == {10}
    assert [done for done, _ in encoded] == sorted(done for done, _ in encoded)


# Vectors ------------------------------------------------------------------------------------------


def chunks(vectors: TokenEmbeddings, size: int = 20) -> Iterator[TokenEmbeddings]:
    for start in range(0, len(vectors), size):
        yield vectors[start : start + size]


def test_vectors_in_batches(tmp_path: Path):
    vectors = clustered(200)
    with plait.Index.create(tmp_path / "index", dim=32, auto_compact=False) as index:
        assert index.add_stream(chunks(vectors), batch_size=50, expected=200) == 200
        assert list(index.ids()) == [str(number) for number in range(200)]
        assert index.stats().segments == 4
        assert index.search(vectors[177], 1)[0].id == "177"


def test_vectors_are_resumed_by_id(tmp_path: Path):
    vectors = clustered(200)
    keys = [f"k{number}" for number in range(200)]

    def cut() -> Iterator[TokenEmbeddings]:
        for number, chunk in enumerate(chunks(vectors)):
            if number == 7:
                raise ZeroDivisionError
            yield chunk

    with plait.Index.create(tmp_path / "index", dim=32) as index:
        with pytest.raises(ZeroDivisionError):
            index.add_stream(cut(), ids=keys, batch_size=40)
        assert len(index) == 120
        index.delete(["k7", "k70"])
        assert index.add_stream(chunks(vectors), ids=keys, batch_size=40, skip_existing=True) == 82
        assert {document.id for document in index} == set(keys)
        assert index.search(vectors[70], 1)[0].id == "k70"
        assert index.add_stream(chunks(vectors), ids=keys, skip_existing=True) == 0
        with pytest.raises(errors.InvalidVectors, match="more documents than vectors"):
            index.add_stream(chunks(vectors[:10]), ids=[f"m{number}" for number in range(11)], batch_size=3)
        with pytest.raises(errors.InvalidVectors, match="vectors for more documents than"):
            index.add_stream(chunks(vectors[:10]), ids=[f"m{number}" for number in range(9)])
        with pytest.raises(errors.InvalidParameter, match="skip_existing needs ids"):
            index.add_stream(chunks(vectors), skip_existing=True)
        assert len(index) == 200


def test_training_on_a_sample_comes_first_and_once(tmp_path: Path):
    vectors = clustered(400)
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        assert index.train(vectors=vectors[:5], expected=10) is False, "so few are kept as they are"
        assert index.train(vectors=vectors[200:], expected=3000) is True
        assert index.train(vectors=vectors[200:], expected=3000) is False
        centroids = index.stats().centroids
        assert index.add_stream(chunks(vectors), batch_size=100, expected=3000) == 400
        assert index.stats().centroids == centroids
        assert [path.name for path in (index.path / "codecs").iterdir()] == ["000001"]
        assert index.search(vectors[7], 1)[0].id == "7"


# Kills --------------------------------------------------------------------------------------------

KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
import plait
from tests.test_streaming import documents
def stream():
    for number, document in enumerate(documents(40)):
        if number == int(sys.argv[3]):
            os.kill(os.getpid(), 9)
        yield document
with plait.Index.open(sys.argv[1]) as index:
    index.add(stream(), batch_size=5, skip_existing=True)
"""


def test_a_stream_goes_on_after_kills(index):
    for at in (3, 12, 38):
        command = [sys.executable, "-c", KILLED, str(index.path), ROOT, str(at)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert len(index) == at // 5 * 5
    assert index.add(documents(40), batch_size=5, skip_existing=True) == 5
    assert list(index.ids()) == [f"d{number}" for number in range(40)]
    assert index.search("document number 33 of a stream", 1)[0].score > 0


class Counted(dict):
    """An item of a stream that counts how many of its kind there are at a time."""

    alive = most = 0

    def __init__(self, text: str) -> None:
        super().__init__(text=text)
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


def test_no_more_than_two_batches_are_held(index):
    assert index.add((Counted(f"text {number}") for number in range(40)), batch_size=4) == 40
    assert Counted.most <= 8
