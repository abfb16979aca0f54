"""Index and search the bundled Cranfield collection, and say how well and how fast: `make demo`."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import textwrap
import time
from pathlib import Path

import plait
from plait.cli.progress import progress_bars
from plait.evaluate import evaluate, judged_queries, read_qrels, run_of
from plait.sources import read_documents, read_queries

CRANFIELD = Path(__file__).parent / "cranfield"
FOLDER = Path("demo_index")
QUESTIONS = [
    "how does the slipstream of a propeller change the lift of a wing?",
    "why do thin panels flutter at supersonic speed?",
    "how hot does a blunt nose get when it re-enters the atmosphere?",
]
BM25 = 0.343  # nDCG@10 of Lucene's BM25 on these files: k1 .9, b .4, English stop words and stemmer


class Lines:
    """Says how far each stage is: at most every five seconds, and at its end."""

    def __init__(self) -> None:
        self.next = time.monotonic() + 5

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take what `Index.add` reports."""
        if done == total or time.monotonic() > self.next:
            self.next = time.monotonic() + 5
            print(f"  {stage}: {100 * done // total} %", file=sys.stderr)


def make_room(first: plait.Document) -> None:
    """Remove the index of an earlier demo, and nothing else."""
    if not FOLDER.exists() or (FOLDER.is_dir() and not any(FOLDER.iterdir())):
        return
    try:
        with plait.Index.open(FOLDER) as earlier:
            ours = len(earlier) == 0 or earlier.get(first.id) == first
    except plait.PlaitError:
        ours = False
    if not ours:
        sys.exit(f"error: {FOLDER} is there already and is not this demo's: move it away, or delete it")
    shutil.rmtree(FOLDER)


def build() -> plait.Index:
    """Index all abstracts that have a text."""
    source = read_documents(CRANFIELD, skip_bad_lines=True)
    documents = list(source)
    make_room(documents[0])
    start = time.perf_counter()
    index = plait.Index.create(FOLDER)
    with progress_bars() as bars:
        index.add(
            [document.text or "" for document in documents],
            ids=[document.id for document in documents],
            metadata=[document.metadata for document in documents],
            progress=bars or Lines(),
        )
    seconds = time.perf_counter() - start
    print(
        f"indexed {len(index):,} abstracts in {seconds:.1f} s ({source.skipped} without text were left out)"
    )
    return index


def answer(index: plait.Index) -> None:
    """Show the best three passages for each sample question."""
    width = min(100, shutil.get_terminal_size().columns)
    for question in QUESTIONS:
        print(f"\n{question}")
        for hit in index.search(question, k=3):
            print(f"  {hit.rank}. score {hit.score:.2f}, abstract {hit.id}")
            for line in textwrap.wrap(hit.text or "", width - 5, max_lines=2, placeholder=" ..."):
                print(f"     {line}")


def measure(index: plait.Index) -> None:
    """Print quality, size and latency."""
    qrels = read_qrels(CRANFIELD)
    queries = judged_queries(read_queries(CRANFIELD), qrels)
    found, whole, search_only = [], [], []
    index.search(QUESTIONS[0])  # the first query pays for opening the files
    for text in queries.values():
        start = time.perf_counter()
        found.append(index.search(text, k=10))
        middle = time.perf_counter()
        vectors = index.encoder.encode_queries([text])[0]
        encoded = time.perf_counter()
        index.search(vectors, k=10)
        whole.append(middle - start)
        search_only.append(time.perf_counter() - encoded)
    ndcg = evaluate(qrels, run_of(queries, found), ["nDCG@10"])["nDCG@10"]
    stats = index.stats()
    print(f"\nquality   nDCG@10 {ndcg:.3f} over {len(queries)} questions; BM25 has {BM25:.3f}")
    print(
        f"size      {stats.bytes_on_disk / 1e6:.1f} MB: vectors {stats.bytes_vectors / 1e6:.1f} MB, "
        f"texts and ids {stats.bytes_catalog / 1e6:.1f} MB;\n"
        f"          {stats.bytes_on_disk / stats.documents:,.0f} bytes per abstract, "
        f"{stats.bytes_vectors / stats.tokens:.1f} per token (vectors only)"
    )
    print(
        f"latency   {1e3 * statistics.median(whole):.1f} ms per question (median, {os.cpu_count()} cores); "
        f"{1e3 * statistics.median(search_only):.1f} ms of it is the search, the rest is encoding"
    )


def say_what_is_next() -> None:
    """Print commands that work as typed from here."""
    here = Path(os.path.relpath(CRANFIELD))
    python = os.path.relpath(Path(sys.executable).parent / "python")
    command = os.path.relpath(Path(sys.executable).parent / "plait")
    command = command if Path(command).exists() else f"{python} -m plait"
    print(f"""
next, type
  {command} search {FOLDER} "boundary layer transition on a swept wing" -k 3
  {command} inspect {FOLDER} --recall
  {command} evaluate {FOLDER} --queries {here}/queries.jsonl --qrels {here}/qrels/test.tsv
  {command} index --help
  {python} {here.parent}/quickstart.py""")


def main() -> None:
    print("plait's demo: the Cranfield collection, 1,400 abstracts on aerodynamics from the 1960s")
    with build() as index:
        answer(index)
        measure(index)
    say_what_is_next()


if __name__ == "__main__":
    main()
