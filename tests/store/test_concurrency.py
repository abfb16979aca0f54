"""Readers in several threads while another process adds and deletes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import plait
from tests.conftest import clustered

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
import plait
from tests.conftest import clustered
documents = clustered(3000)
with plait.Index.open(sys.argv[1]) as index:
    for begin in range(200, 3000, 200):
        index.add(vectors=documents[begin : begin + 200])
        index.delete([str(begin), str(begin + 1)])
"""


def test_readers_see_whole_commits_while_a_writer_works(tmp_path: Path):
    """The writer passes the size where f32 segments are replaced, and their files removed."""
    documents = clustered(3000)
    path = tmp_path / "index"
    with plait.Index.create(path, dim=32) as index:
        index.add(vectors=documents[:200])
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(Path(__file__).parents[2])])
    sizes: set[int] = set()
    failures: list[Exception] = []
    with plait.Index.open(path) as index:

        def read(query: object) -> None:
            try:
                while writer.poll() is None:
                    index.refresh()
                    sizes.add(len(index))
                    assert len({hit.id for hit in index.search(query, 50)}) == 50
            except Exception as error:  # noqa: BLE001  whatever it is, the test must fail with it
                failures.append(error)

        threads = [threading.Thread(target=read, args=(documents[place],)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        index.refresh()
        assert not failures
        assert writer.returncode == 0
        assert len(index) == 3000 - 2 * 14
    whole = {200 + 200 * n - 2 * n for n in range(15)} | {200 + 200 * n - 2 * (n - 1) for n in range(1, 15)}
    assert sizes <= whole
    assert len(sizes) > 2
