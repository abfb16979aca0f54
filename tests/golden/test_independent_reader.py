"""docs/index-format.md is enough to read an index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.independent_reader import Reader

HERE = Path(__file__).parent
GOLDEN = sorted(path.name for path in HERE.glob("v*") if path.is_dir())


#: What the words of the golden queries are, as English stems.
TERMS = {"text 5": ["text", "5"], "ü 17 text 5": ["ü", "17", "text", "5"], "nothing": ["noth"]}


def answer(reader: Reader, case: dict[str, Any]) -> list[tuple[str, float]]:
    if "single" in case:
        return reader.search_singles(case["single"], 5)
    if "words" in case:
        return reader.search_words(TERMS[case["words"]], 5)
    return reader.search(case["query"], 5)


@pytest.mark.parametrize("name", GOLDEN)
def test_documents_and_scores(name: str):
    reader = Reader(HERE / name)
    assert reader.version == int(name[1])
    assert len(reader.documents) == 58
    assert reader.documents["5"] == ("text 5, ü", {"number": 5})
    for case in json.loads((HERE / f"{name}.json").read_text()):
        found = answer(reader, case)
        assert [key for key, _ in found] == [hit[0] for hit in case["hits"]]
        assert [score for _, score in found] == pytest.approx([hit[2] for hit in case["hits"]], rel=1e-4)


def test_it_uses_nothing_of_plait():
    source = (HERE / "independent_reader.py").read_text()
    assert "import plait" not in source
    assert "from plait" not in source
