"""Indexes of every format version there has been open, and answer as they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait
from plait import SearchParams

HERE = Path(__file__).parent
GOLDEN = sorted(path.name for path in HERE.glob("v*") if path.is_dir())


def test_there_are_golden_indexes():
    assert [name for name in GOLDEN if name.startswith("v1")] == ["v1-exact", "v1-residual"]
    assert [name for name in GOLDEN if name.startswith("v2")] == [
        "v2-children", "v2-exact", "v2-living", "v2-residual", "v2-scaled",
    ]  # fmt: skip
    assert [name for name in GOLDEN if name.startswith("v3")] == [
        "v3-children", "v3-exact", "v3-living", "v3-residual", "v3-scaled",
    ]  # fmt: skip


def test_the_golden_children_are_children():
    counts = np.load(next((HERE / "v2-children").rglob("child_counts.npy")))
    assert counts.sum() > 4 * len(counts)


def answer(index: plait.Index, case: dict[str, Any]) -> list[plait.Hit]:
    if "single" in case:
        return index.search_bi_encoder(case["single"], 5)
    if "words" in case:
        return index.search_bm25(case["words"], 5)
    return index.search(case["query"], 5, params=SearchParams(scan=case["scan"]))


@pytest.mark.parametrize("name", ["v3-exact", "v3-living", "v3-scaled"])
def test_version_3_has_optional_parts(name: str):
    cases = json.loads((HERE / f"{name}.json").read_text())
    assert [sum(key in case for case in cases) for key in ("query", "single", "words")] == [6, 3, 3]


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_index_answers_as_it_did(name: str, tmp_path: Path):
    path = Path(shutil.copytree(HERE / name, tmp_path / name))
    cases = json.loads((HERE / f"{name}.json").read_text())
    with plait.Index.open(path) as index:
        assert len(index) == 58
        assert index.get("5") == plait.Document("5", "text 5, ü", {"number": 5})
        assert index.get("3") is None
        for case in cases:
            hits = [tuple(hit) for hit in answer(index, case)]
            assert [hit[:2] for hit in hits] == [tuple(hit[:2]) for hit in case["hits"]]
            assert [hit[2] for hit in hits] == pytest.approx([hit[2] for hit in case["hits"]], rel=1e-5)
        index.add(vectors=[cases[0]["query"]], ids=["new"])
        assert "new" in {hit.id for hit in index.search(cases[0]["query"], 2)}


@pytest.mark.parametrize("name", GOLDEN)
def test_numpy_alone_can_read_the_arrays(name: str):
    files = list((HERE / name).rglob("*.npy"))
    assert len(files) >= 6
    for file in files:
        assert np.load(file, allow_pickle=False).dtype.byteorder in "<|="
