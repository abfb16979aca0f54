"""docs/index-format.md is enough to read an index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.independent_reader import Reader

HERE = Path(__file__).parent
GOLDEN = sorted(path.name for path in HERE.glob("v*") if path.is_dir())


@pytest.mark.parametrize("name", GOLDEN)
def test_documents_and_scores(name: str):
    reader = Reader(HERE / name)
    assert reader.version == int(name[1])
    assert len(reader.documents) == 58
    assert reader.documents["5"] == ("text 5, ü", {"number": 5})
    for case in json.loads((HERE / f"{name}.json").read_text()):
        if "words" in case:
            continue
        single = "single" in case
        found = reader.search_singles(case["single"], 5) if single else reader.search(case["query"], 5)
        assert [key for key, _ in found] == [hit[0] for hit in case["hits"]]
        assert [score for _, score in found] == pytest.approx([hit[2] for hit in case["hits"]], rel=1e-4)


def test_it_uses_nothing_of_plait():
    source = (HERE / "independent_reader.py").read_text()
    assert "import plait" not in source
    assert "from plait" not in source
