"""An imported index answers as the tool that made it does, when that rescores every document."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import SearchParams
from plait.importers import open_foreign
from tests.importers.conftest import FOREIGN, TOOLS, answers, queries, texts

#: fast-plaid computes in f16, in which neighbours of 3.4 are .002 apart.
WITHIN = {"colbert-ai-2": 1e-5, "colbert-ai-4": 1e-5, "ragatouille": 1e-5}
DELETED = {"colbert-ai-2": {4, 31}, "ragatouille": {17}}


def bring(source: Path, destination: Path, **options: object) -> plait.Index:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return plait.import_index(source, destination, **options)


def key_of(tool: str, name: object) -> str:
    if tool == "ragatouille":
        return {0: "doc-1#0", 1: "doc-1#1"}.get(name, f"doc-{name}")
    return str(name)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("scan", [True, False])
def test_scores_are_those_of_the_tool(tool: str, scan: bool, tmp_path: Path):
    with bring(FOREIGN / tool, tmp_path / "index") as index:
        for query, expected in zip(queries(), answers(tool), strict=True):
            params = SearchParams(scan=scan, nprobe=64, ndocs=100)
            hits = {hit.id: hit.score for hit in index.search(query, 100, params=params)}
            assert hits.keys() == {key_of(tool, name) for name, _ in expected}
            for name, score in expected:
                assert hits[key_of(tool, name)] == pytest.approx(score, abs=WITHIN.get(tool, 2e-3))


@pytest.mark.parametrize("tool", TOOLS)
def test_scores_are_maxsim_of_the_codes_in_f32(tool: str, tmp_path: Path):
    """Decoded here once more, bit by bit, from the source's own arrays."""
    foreign = open_foreign(FOREIGN / tool)
    codec = foreign.codec
    vectors = []
    for chunk in foreign.chunks():
        bits = np.unpackbits(chunk.residuals, axis=1).reshape(len(chunk.codes), codec.dim, codec.nbits)
        buckets = (bits * (1 << np.arange(codec.nbits))).sum(axis=2)
        rows = codec.centroids[chunk.codes].astype(float) + codec.weights[buckets]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        vectors += np.split(rows, np.cumsum(chunk.doclens)[:-1])
    with bring(FOREIGN / tool, tmp_path / "index") as index:
        for query in queries():
            for hit in index.search(query, 100):
                place = next(
                    place for place, document in enumerate(foreign.documents)
                    if document is not None and document.id == hit.id
                )  # fmt: skip
                assert hit.score == pytest.approx((query @ vectors[place].T).max(axis=1).sum(), abs=1e-5)


def test_what_a_tool_has_removed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(FOREIGN)  # the index names its collection.tsv as it was given
    with pytest.warns(UserWarning, match="2 documents without tokens"):
        index = plait.import_index(FOREIGN / "colbert-ai-2", tmp_path / "index")
    with index:
        assert len(index) == 58
        assert index.get("4") is None
        assert index.get("5") == plait.Document("5", texts()[5])


def test_codes_are_taken_over_as_they_are(tmp_path: Path):
    with bring(FOREIGN / "fast-plaid-1.7", tmp_path / "index"):
        found = np.load(next((tmp_path / "index").rglob("residuals.npy")))
    merged = np.load(FOREIGN / "fast-plaid-1.7" / "merged_residuals.npy")
    assert np.array_equal(found, merged[: len(found)])


def test_ragatouille_keeps_texts_ids_and_metadata(tmp_path: Path):
    with bring(FOREIGN / "ragatouille", tmp_path / "index") as index:
        assert len(index) == 59
        assert index.get("doc-5") == plait.Document("doc-5", texts()[5], {"number": 5})
        assert index.get("doc-1#1") == plait.Document(
            "doc-1#1", texts()[1], {"number": 1, "document_id": "doc-1"}
        )
        assert index.get("doc-17") is None
        assert index.get("doc-18").text == texts()[18]


def test_pylate_keeps_the_callers_ids(tmp_path: Path):
    with bring(FOREIGN / "pylate", tmp_path / "index", texts=texts()[:9] + texts()[10:]) as index:
        assert index.get("doc/9") is None
        assert index.get("doc/10") == plait.Document("doc/10", texts()[10])


def test_fast_plaids_metadata_gives_ids_and_texts(tmp_path: Path):
    with bring(FOREIGN / "fast-plaid-1.7", tmp_path / "index", id_field="name", text_field="text") as index:
        assert index.get("n7") is None
        assert index.get("n8") == plait.Document("n8", texts()[8], {"number": 8})


def test_next_plaids_two_tables_are_joined(next_plaid: Path, tmp_path: Path):
    with bring(next_plaid, tmp_path / "index", text_field="code") as index:
        assert index.get("8") == plait.Document("8", "code 8", {"name": "name 8"})
        expected = dict(answers("fast-plaid-1.6")[0])
        for hit in index.search(queries()[0], 100):
            assert hit.score == pytest.approx(expected[int(hit.id)], abs=2e-3)


def test_texts_come_from_a_file_too(tmp_path: Path):
    with bring(FOREIGN / "colbert-ai-4", tmp_path / "a", texts=FOREIGN / "collection.tsv") as index:
        assert index.get("3").text == texts()[3]
    (tmp_path / "texts.json").write_text(json.dumps([f"other {place}" for place in range(60)]))
    with bring(FOREIGN / "colbert-ai-4", tmp_path / "b", texts=tmp_path / "texts.json") as index:
        assert index.get("3").text == "other 3"


def test_an_imported_index_grows(tmp_path: Path):
    with bring(FOREIGN / "pylate", tmp_path / "index") as index:
        index.add(vectors=[queries()[0]], ids=["new"])
        assert index.search(queries()[0], 1)[0].id == "new"
        assert index.delete(["doc/3"]) == 1
        assert len(index) == 59


def test_text_needs_the_checkpoint(tmp_path: Path):
    with (
        bring(FOREIGN / "colbert-ai-4", tmp_path / "index") as index,
        pytest.raises(plait.PlaitError, match="the/checkpoint"),
    ):
        index.search("a text")


def test_a_checkpoint_of_another_width_is_refused(tmp_path: Path):
    from plait.encoder.checkpoint import BUILTIN

    with pytest.raises(plait.PlaitError, match="32 components"):
        bring(FOREIGN / "colbert-ai-4", tmp_path / "index", model=BUILTIN)
    assert not (tmp_path / "index").exists()
