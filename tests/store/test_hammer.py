"""Eight processes read and write one index; for minutes: `python -m tests.hammer --seconds 150`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hammer import hammer


@pytest.mark.slow
def test_readers_and_writers_of_one_index(tmp_path: Path):
    done = hammer(tmp_path / "index", seconds=15)
    assert min(done["commits"]) > 0
    assert set(done["looks"]) == {"search", "list", "filter", "get", "fresh"}
