"""From texts to another tool's folder and back: what the user asks with are texts again."""

from __future__ import annotations

from pathlib import Path

import pytest

import plait
from plait.errors import PlaitError

MODEL = Path(plait.__file__).parent / "encoder" / "builtin"
SUBJECTS = ("neutron stars", "bread", "the capital of France", "boundary layers", "chess openings", "tulips")
TEXTS = [
    f"{subject.capitalize()}: {fact}." for subject in SUBJECTS for fact in ("a history", "how it is made")
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    with plait.Index.create(folder / "index") as index:
        index.add(TEXTS, ids=[f"doc {number}" for number in range(len(TEXTS))])
    plait.export_colbert(folder / "index", folder / "colbert", nbits=4)
    return folder / "colbert"


def test_texts_find_what_they_found_before(exported: Path, tmp_path: Path) -> None:
    with plait.import_index(exported, tmp_path / "imported", model=MODEL) as index:
        for number, subject in enumerate(SUBJECTS):
            found = {hit.id for hit in index.search(f"Tell me about {subject}", k=2)}
            assert found == {f"doc {2 * number}", f"doc {2 * number + 1}"}
        index.add(["Berlin is the capital of Germany."], ids=["berlin"])
    with plait.Index.open(tmp_path / "imported") as index:
        (hit,) = index.search("What is the capital of Germany?", k=1)
        assert hit.id == "berlin"


def test_a_text_needs_the_checkpoint(exported: Path, tmp_path: Path) -> None:
    with (
        plait.import_index(exported, tmp_path / "imported") as index,
        pytest.raises(PlaitError, match="model="),
    ):
        index.search("bread")
