"""Indexes that other tools have made (scripts/make_foreign_indexes.py), and what they answered."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

FOREIGN = Path(__file__).parents[1] / "golden" / "foreign"
TOOLS = ["colbert-ai-2", "colbert-ai-4", "ragatouille", "pylate", "fast-plaid-1.6", "fast-plaid-1.7"]


def texts() -> list[str]:
    return json.loads((FOREIGN / "texts.json").read_text(encoding="utf-8"))


def queries() -> np.ndarray:
    return np.load(FOREIGN / "queries.npy")


def answers(tool: str) -> list[list[tuple[object, float]]]:
    """For each query all documents, best first, as (what the tool calls it, score)."""
    return json.loads((FOREIGN / f"{tool}.json").read_text())


@pytest.fixture
def next_plaid(tmp_path: Path) -> Path:
    """next-plaid can't be run here: its layout, from the tables in its source, around fast-plaid's arrays."""
    folder = Path(shutil.copytree(FOREIGN / "fast-plaid-1.6", tmp_path / "next-plaid"))
    for leftover in [*folder.glob("merged_*"), folder / "buffer.npy"]:
        leftover.unlink()
    np.save(folder / "centroids.npy", np.load(folder / "centroids.npy").astype(np.float32))
    facts = json.loads((folder / "metadata.json").read_text())
    facts |= {"embedding_dim": 32, "next_plaid_compatible": True}
    (folder / "metadata.json").write_text(json.dumps(facts))
    (folder / "metadata.db").unlink()
    with sqlite3.connect(folder / "metadata.db") as database:
        database.execute(
            "CREATE TABLE METADATA (_subset_ INTEGER NOT NULL, _content_id_ INTEGER NOT NULL, name TEXT)"
        )
        database.execute("CREATE TABLE METADATA_CONTENT (_content_id_ INTEGER PRIMARY KEY, code TEXT)")
        for place in range(facts["num_documents"]):
            database.execute("INSERT INTO METADATA VALUES (?, ?, ?)", (place, 100 + place, f"name {place}"))
            database.execute("INSERT INTO METADATA_CONTENT VALUES (?, ?)", (100 + place, f"code {place}"))
    database.close()
    return folder
