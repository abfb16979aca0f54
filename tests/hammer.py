"""Eight processes on one index for as long as is wanted: `python -m tests.hammer --seconds 150`.

Writers add, replace, change and delete groups of documents, a group per commit, and count their commits in a
document of their own. Readers, with two threads each, search and list all the time, and fail if they ever see
half a group, a group in two versions, a document twice, or a count that goes back. At the end the index must
hold exactly what the writers say they committed, and be sound.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import plait
from plait.store.format import holder_path

DIM = 16
WRITERS, READERS = 3, 5
GROUPS = 40
#: Documents there from the beginning, enough for a codec: 20 tokens each.
BASE = 2000
ROOT = str(Path(__file__).parents[1])


def vectors(count: int, rng: np.random.Generator) -> plait.TokenEmbeddings:
    rows = rng.normal(size=(count * 20, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return plait.TokenEmbeddings(rows, np.full(count, 20))


# Writers ------------------------------------------------------------------------------------------


class Writer:
    """Changes its own groups at random, and knows what they hold: id -> metadata."""

    def __init__(self, path: Path, name: int) -> None:
        self.path = path
        self.name = name
        self.random = random.Random(name)
        self.rng = np.random.default_rng(name)
        self.index = plait.Index.open(path, timeout=120)
        self.state: dict[str, dict[str, Any]] = {}
        self.commits = 0

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            group = f"{self.name}-{self.random.randrange(GROUPS)}"
            with self.index.transaction():
                self.change(group)
                self.commits += 1
                counter = {"writer": self.name, "commits": self.commits}
                self.index.upsert(
                    vectors=vectors(1, self.rng), ids=[f"counter-{self.name}"], metadata=[counter]
                )
            self.state[f"counter-{self.name}"] = counter
            if self.random.random() < 0.05:
                self.index.close()
                self.index = plait.Index.open(self.path, timeout=120)

    def change(self, group: str) -> None:
        there = {key: record for key, record in self.state.items() if record.get("group") == group}
        if not there:
            self.put(group, self.index.add)
            return
        what = self.random.choice(["replace", "update", "delete", "filter"])
        if what == "update":
            self.index.update_metadata(list(there), {"version": self.commits})
            for record in there.values():
                record["version"] = self.commits
            return
        for key in there:
            del self.state[key]
        if what == "filter":
            assert self.index.delete(filter={"group": group}) == len(there)
            return
        assert self.index.delete(list(there)) == len(there)
        if what == "replace":
            self.put(group, self.index.upsert)

    def put(self, group: str, how: Callable[..., Any]) -> None:
        size = self.random.randint(1, 12)
        keys = [f"{group}-{place}" for place in range(size)]
        records = [{"group": group, "size": size, "version": self.commits} for _ in keys]
        how(vectors=vectors(size, self.rng), ids=keys, metadata=records)
        self.state.update(zip(keys, records, strict=True))


# Readers ------------------------------------------------------------------------------------------


class Reader:
    """Looks at the index in several ways; ``looks`` counts them."""

    def __init__(self, path: Path, name: int) -> None:
        self.path = path
        self.name = name
        self.looks: Counter[str] = Counter()
        self.commits: Counter[int] = Counter()
        self.failures: list[BaseException] = []

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with plait.Index.open(self.path) as index:
            threads = [
                threading.Thread(target=self.guarded, args=(index, number, end)) for number in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if self.failures:
            raise self.failures[0]

    def guarded(self, index: plait.Index, number: int, end: float) -> None:
        try:
            self.look(index, number, end)
        except BaseException as error:  # noqa: BLE001  the process must fail with it
            self.failures.append(error)

    def look(self, index: plait.Index, number: int, end: float) -> None:
        chosen = random.Random(10 * self.name + number)
        rng = np.random.default_rng(10 * self.name + number)
        commits: Counter[int] = Counter()
        while time.monotonic() < end and not self.failures:
            how = chosen.choice(["search", "list", "filter", "get", "fresh"])
            self.looks[how] += 1
            query = vectors(1, rng).vectors[:4]
            if how == "search":
                check(index.search(query, 10_000), commits)
            elif how == "list":
                check(index, commits)
            elif how == "filter":
                wanted = {"group": f"{chosen.randrange(WRITERS)}-{chosen.randrange(GROUPS)}"}
                check(index.search(query, 50, filter=wanted), commits)
            elif how == "get":
                counters = [one for one in index.get([f"counter-{n}" for n in range(WRITERS)]) if one]
                check(counters, commits)
            else:
                with plait.Index.open(self.path) as other:
                    check(other.search(query, 10_000), commits)


def check(found: Iterable[Any], commits: Counter[int]) -> None:
    """Whole groups of one version, nothing twice, no commit lost again."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    ids: set[str] = set()
    for one in found:
        assert one.id not in ids, f"{one.id} was found twice"
        ids.add(one.id)
        record = one.metadata
        if "group" in record:
            groups[record["group"]].append(record)
        elif "writer" in record:
            assert record["commits"] >= commits[record["writer"]], "a commit was seen, and then no more"
            commits[record["writer"]] = record["commits"]
    for name, records in groups.items():
        sizes = {(record["size"], record["version"]) for record in records}
        assert sizes == {(len(records), records[0]["version"])}, f"{name}: {len(records)} documents, {sizes}"


# All of them --------------------------------------------------------------------------------------


def hammer(path: Path, seconds: float) -> dict[str, Any]:
    """Run it, and return what was done; an AssertionError says what went wrong."""
    with plait.Index.create(path, dim=DIM, fields={"group": str}) as index:
        index.add(vectors=vectors(BASE, np.random.default_rng(99)))
    command = [sys.executable, "-W", "error", "-m", "tests.hammer", str(path), "--seconds", str(seconds)]
    roles = [("writer", n) for n in range(WRITERS)] + [("reader", n) for n in range(READERS)]
    processes = [
        subprocess.Popen(
            [*command, "--role", role, "--name", str(name)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for role, name in roles
    ]
    said = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0] * len(codes), f"exit codes {dict(zip(roles, codes, strict=True))}"
    reports = [json.loads(text) for text in said]
    expected: dict[str, Any] = {str(number): {} for number in range(BASE)}
    for report in reports[:WRITERS]:
        expected.update(report["state"])
    with plait.Index.open(path) as index:
        assert {document.id: document.metadata for document in index} == expected
        assert len(index.search(vectors(1, np.random.default_rng(1)).vectors, 100_000)) == len(expected)
        assert index.verify() == []
        segments = index.stats().segments
    assert not holder_path(path).exists()
    looks: Counter[str] = Counter()
    for report in reports[WRITERS:]:
        looks.update(report["looks"])
    commits = [report["commits"] for report in reports[:WRITERS]]
    return {"seconds": seconds, "commits": commits, "looks": dict(looks), "segments": segments}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--role", choices=["writer", "reader"])
    parser.add_argument("--name", type=int)
    args = parser.parse_args()
    if args.role == "writer":
        writer = Writer(args.path, args.name)
        writer.run(args.seconds)
        print(json.dumps({"state": writer.state, "commits": writer.commits}))
    elif args.role == "reader":
        reader = Reader(args.path, args.name)
        reader.run(args.seconds)
        print(json.dumps({"looks": reader.looks}))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(hammer(args.path or Path(folder, "index"), args.seconds)))


if __name__ == "__main__":
    main()
