"""What changes cost: `python benchmarks/living.py DATA --work DIR [--documents 1000000]`.

visible     seconds until 1,000 documents added to a large index (from vectors) are found by another reader
amplify     bytes written for 100 small adds, over the bytes they come to, merges included and without
compaction  latency of a reader in another process while a large index is compacted, and while nothing happens
memory      of 8 processes that search the same index: RSS counts shared pages in each, PSS shares them out
churn       100 small adds, 30 % deleted, compacted: size and CPU time per query against a fresh build

The large index is synthetic: documents of 8 tokens of 96 dimensions around 100,000 directions, so that a
million are built in minutes; the last part uses NFCorpus from DATA. Compaction runs on one thread.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import measure
from drift import collections

import numpy as np  # isort: skip
import plait
from plait.types import TokenEmbeddings

DIM, DOCLEN, DIRECTIONS, NOISE = 96, 8, 100_000, 0.5
#: Documents that train the codec: so many that the rest does not outgrow it.
FIRST_SHARE = 7
ADDS, DOCUMENTS_PER_ADD, SMALL_ADD = 10, 1000, 100
READERS, QUERIES = 8, 100
CHUNK = 20_000
DELETED = 0.3

READER = """
import json, sys, time
import numpy as np
import plait
queries = np.load(sys.argv[2])
with plait.Index.open(sys.argv[1]) as index:
    for query in queries[:10]:
        index.search(query, 10, threads=1)
    print("ready", flush=True)
    end = time.time() + float(sys.argv[3])
    place = 0
    while time.time() < end:
        began = time.time()
        index.search(queries[place % len(queries)], 10, threads=1)
        print(json.dumps([began, time.time() - began]), flush=True)
        place += 1
"""
HOLDER = """
import sys
import numpy as np
import plait
queries = np.load(sys.argv[2])
with plait.Index.open(sys.argv[1]) as index:
    for query in queries:
        index.search(query, 10, threads=1)
    print("ready", flush=True)
    sys.stdin.readline()
"""


def documents(count: int, seed: int) -> TokenEmbeddings:
    """Synthetic token vectors."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(0).normal(size=(DIRECTIONS, DIM)).astype(np.float32)
    rows = directions[rng.integers(DIRECTIONS, size=count * DOCLEN)]
    rows += NOISE * rng.standard_normal(rows.shape, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return TokenEmbeddings(rows, np.full(count, DOCLEN))


def large_index(work: Path, count: int) -> Path:
    """The synthetic index, made once."""
    path = work / f"living-{count}"
    if path.exists():
        return path
    unfinished = path.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with plait.Index.create(unfinished, dim=DIM) as index:
        first = count // FIRST_SHARE
        index.add(vectors=documents(first, 1))
        left = range(first, count, CHUNK)
        chunks = (documents(min(CHUNK, count - begin), begin) for begin in left)
        index.add_stream(chunks, expected=count - first)
    unfinished.rename(path)
    return path


def visible(path: Path, facts: dict[str, Any]) -> None:
    seconds, finding = [], []
    with plait.Index.open(path) as writer, plait.Index.open(path) as reader:
        for number in range(ADDS):
            new = documents(DOCUMENTS_PER_ADD, 10_000_000 + number)
            ids = [f"new {number} {place}" for place in range(DOCUMENTS_PER_ADD)]
            reader.search(new[0], 1)
            began = time.perf_counter()
            writer.add(vectors=new, ids=ids)
            added = time.perf_counter()
            hits = reader.search(new[7], 1)
            found = time.perf_counter()
            if hits[0].id != f"new {number} 7":
                raise SystemExit("a document that was added is not found")
            seconds.append(found - began)
            finding.append(found - added)
    emit(
        "visible",
        **facts,
        added=DOCUMENTS_PER_ADD,
        adds=ADDS,
        seconds=round(float(np.median(seconds)), 3),
        most_seconds=round(max(seconds), 3),
        reader_seconds=round(float(np.median(finding)), 3),
    )


def written() -> int:
    """Bytes that this process has written so far."""
    found = re.search(r"wchar: (\d+)", Path("/proc/self/io").read_text())
    return int(found[1]) if found else 0


def amplify(source: Path, folder: Path, facts: dict[str, Any]) -> None:
    for merging in (True, False):
        path = Path(shutil.copytree(source, folder / f"amplify-{merging}"))
        with plait.Index.open(path, auto_compact=merging) as index:
            before, size, seconds = written(), index.stats().bytes_vectors, time.perf_counter()
            most = 0
            for number in range(100):
                ids = [f"small {number} {place}" for place in range(SMALL_ADD)]
                index.add(vectors=documents(SMALL_ADD, 20_000_000 + number), ids=ids)
                most = max(most, index.stats().segments)
            wrote, seconds = written() - before, time.perf_counter() - seconds
            stats = index.stats()
            single = SMALL_ADD * 100 * DOCLEN * 1.0
            emit(
                "amplify",
                **facts,
                adds=100,
                added=SMALL_ADD,
                merging=merging,
                bytes_written=wrote,
                bytes_grown=stats.bytes_vectors - size,
                bytes_per_added_token=round(wrote / single, 1),
                segments=stats.segments,
                most_segments=most,
                seconds=round(seconds, 2),
            )
        shutil.rmtree(path)


def compaction(path: Path, queries: Path, facts: dict[str, Any], idle: float) -> None:
    """The reader searches for ``idle`` seconds, then the index is compacted, which takes longer than that."""
    with plait.Index.open(path, auto_compact=False) as index:
        index.delete([str(number) for number in range(0, facts["documents"], 10)])
        command = [sys.executable, "-c", READER, str(path), str(queries), "86400"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            time.sleep(idle)
            began = time.time()
            report = index.compact(threads=1)
            ended = time.time()
            reader.terminate()
            lines = [line for line in reader.stdout.read().splitlines() if line.endswith("]")]
    taken = [json.loads(line) for line in lines]
    still = [1e3 * seconds for start, seconds in taken if start < began]
    meanwhile = [1e3 * seconds for start, seconds in taken if began <= start < ended]
    emit(
        "compaction",
        **facts,
        deleted=report.deleted,
        seconds=round(ended - began, 1),
        searches=len(meanwhile),
        **{f"idle_p{p}_ms": round(float(np.percentile(still, p)), 2) for p in (50, 99)},
        **{f"p{p}_ms": round(float(np.percentile(meanwhile, p)), 2) for p in (50, 99)},
    )


def memory(path: Path, queries: Path, facts: dict[str, Any]) -> None:
    command = [sys.executable, "-c", HOLDER, str(path), str(queries)]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        for _ in range(READERS)
    ]
    for reader in readers:
        assert reader.stdout is not None
        reader.stdout.readline()
    held = [dict(_rollup(reader.pid)) for reader in readers]
    for reader in readers:
        reader.communicate("\n")
    emit(
        "memory",
        **facts,
        readers=READERS,
        index_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        rss=sum(own["Rss"] for own in held),
        pss=sum(own["Pss"] for own in held),
        private=sum(own["Private_Dirty"] + own["Private_Clean"] for own in held),
    )


def _rollup(pid: int) -> Iterator[tuple[str, int]]:
    for name, size in re.findall(r"(\w+): +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text()):
        yield name, int(size) * 1024


def churn(sets: dict[str, Any], folder: Path) -> None:
    documents, queries = sets["nfcorpus"]
    base = int(0.7 * len(documents))
    cuts = np.linspace(base, len(documents), 101).astype(int)
    gone = np.random.default_rng(0).permutation(len(documents))[: int(DELETED * len(documents))]
    kept = np.setdiff1d(np.arange(len(documents)), gone)
    with plait.Index.create(folder / "churned", dim=documents.dim) as index:
        for begin, end in zip([0, *cuts[:-1]], cuts, strict=True):
            index.add(vectors=documents[int(begin) : int(end)])
        index.delete([str(number) for number in gone])
        index.compact()
    fresh = TokenEmbeddings.from_list([documents[int(number)] for number in kept])
    with plait.Index.create(folder / "fresh", dim=documents.dim) as index:
        index.add(vectors=fresh, ids=[str(number) for number in kept])
    asked = list(queries)[:QUERIES]
    for way in ("churned", "fresh"):
        with plait.Index.open(folder / way) as index:
            stats = index.stats()
            params = plait.SearchParams.for_k(10, len(index))
            emit(
                "churn",
                way=way,
                documents=stats.documents,
                tokens=stats.tokens,
                segments=stats.segments,
                centroids=stats.centroids,
                bytes_vectors=stats.bytes_vectors,
                bytes_on_disk=stats.bytes_on_disk,
                recall=round(index.recall(asked, 10).search_recall, 4),
                **measure.per_query(partial(index.search, k=10, params=params, threads=1), asked),
            )


def emit(part: str, **facts: Any) -> None:
    measure.emit("living", "plait", part=part, **facts)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="for the large index and token vectors")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--idle", type=float, default=10, help="seconds to watch the reader undisturbed")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    source = large_index(options.work, options.documents)
    facts = {"documents": options.documents, "tokens": options.documents * DOCLEN, "dim": DIM}
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        folder = Path(name)
        queries = folder / "queries.npy"
        np.save(queries, np.stack(list(documents(QUERIES, 30_000_000))))
        memory(source, queries, facts)
        path = Path(shutil.copytree(source, folder / "large"))
        visible(path, facts)
        compaction(path, queries, facts, options.idle)
        shutil.rmtree(path)
        amplify(source, folder, facts)
        churn(collections(options.data, options.work / "encoded"), folder)


if __name__ == "__main__":
    main()
