"""Exported documents are read back as they were."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

import plait
from plait.sources import read_documents
from tests.conftest import clustered

TEXTS = ["One fish,\ntwo fish.", "Zwei Fische \u2028 und ein Aal", "red fish \U0001f41f"]
METADATA = [
    {"n": 1, "title": "Fish", "vectors": "none"},
    None,
    {"deep": {"er": [1, None, 2.5]}, "metadata": {"a": 1}},
]


def test_texts_and_metadata_come_back(tmp_path: Path):
    documents = clustered(4)
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(TEXTS, vectors=documents[:3], ids=["a", "b c", "d"], metadata=METADATA)
        index.add(["gone"], vectors=documents[3:], ids=["gone"])
        index.delete("gone")
        seen = []
        count = index.export(tmp_path / "docs.jsonl", vectors=True, progress=lambda *told: seen.append(told))
        assert (count, seen) == (3, [("export", 3, 3)])
    found = list(read_documents(tmp_path / "docs.jsonl"))
    assert [document.id for document in found] == ["a", "b c", "d"]
    assert [document.text for document in found] == TEXTS
    assert [document.metadata for document in found] == [record or {} for record in METADATA]
    records = [json.loads(line) for line in (tmp_path / "docs.jsonl").read_text().split("\n")[:-1]]
    for place, record in enumerate(records):
        assert np.allclose(record["vectors"], documents[place], atol=1e-6)


def test_order_is_that_of_insertion_after_compaction(tmp_path: Path):
    documents = clustered(60)
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        for begin in range(0, 60, 6):
            index.add(vectors=documents[begin : begin + 6])
        index.delete(["0", "17"])
        target = io.StringIO()
        assert index.export(target) == 58
    records = [json.loads(line) for line in target.getvalue().splitlines()]
    assert [record["id"] for record in records] == [str(n) for n in range(60) if n not in (0, 17)]
    assert set(records[0]) == {"id"}


def test_compressed_vectors_are_those_that_are_scored(shared_index: Path, documents):
    with plait.Index.open(shared_index) as index:
        target = io.StringIO()
        index.export(target, vectors=True)
        record = json.loads(target.getvalue().splitlines()[5])
        hit = index.search(documents[5], 1)[0]
        assert record["id"] == hit.id == "5"
        score = (documents[5] @ np.array(record["vectors"]).T).max(axis=1).sum()
        assert score == pytest.approx(hit.score, abs=1e-3)


def test_an_export_that_fails_leaves_no_file(tmp_path: Path, small: plait.Index):
    (tmp_path / "docs.jsonl").write_text("what was there")

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.export(tmp_path / "docs.jsonl", progress=stop)
    assert (tmp_path / "docs.jsonl").read_text() == "what was there"
    assert not list(tmp_path.glob("*.partial"))
