"""All benchmarks of plait, one after the other, into benchmarks/results/: `python benchmarks/run.py DATA`.

DATA holds `arxiv/` and `eval/` (see vectors.py and quality.py). Takes about an hour of one core; a part can
be chosen with --only. --sizes are those of the corpora of scale.py: up to 100,000 documents are real
passages, further ones are grown from these (corpus.py). Figures of 1,000,000 take half an hour more, of
10,000,000 some hours and the room for the indexes. Alternatives, other kernels and rivals are measured where
they are installed: alternatives.py, rescoring.py, run_rivals.py. Tables and charts: report.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
#: Real passages at most, whatever the size of a corpus; and of the benchmarks that have one size.
MOST_REAL, USUAL = 100_000, 10_000

Commands = dict[str, list[list[str]]]


def commands(data: Path, work: Path, sizes: list[int]) -> Commands:
    """The command lines of each result file."""
    vectors = str(vectors_folder(work, USUAL))
    return {
        "search": [["search.py", vectors]],
        "sweep": [["search.py", vectors, "--made", "balanced", "--sweep", "10", "100", "1000"]],
        "stages": [["stages.py", vectors]],
        "quality": [["quality.py", str(data), "--cache", str(work / "encoded")]],
        "compare": [["compare.py", str(data)]],
        "codecs": [["codecs.py", str(data), "--cache", str(work / "encoded")]],
        "startup": [["startup.py", vectors, "--weight"]],
        "scan_threshold": [["scan_threshold.py", vectors]],
        "limits": [["limits.py", vectors]],
        "rescoring": [["rescoring.py", vectors, "--engines", "plait", "numpy"]],
        "scale": [line for size in sizes for line in scale_commands(work, sizes, size)],
    }


def scale_commands(work: Path, sizes: list[int], size: int) -> list[list[str]]:
    """The exact results first: scale.py measures recall where they are."""
    queries = "50" if size >= 1_000_000 else "200"
    corpus = [str(vectors_folder(work, real(sizes))), str(size), "--queries", queries]
    return [["reference.py", *corpus], ["scale.py", *corpus]]


def real(sizes: list[int]) -> int:
    """How many real passages corpora of these sizes begin with: the same for all, so that queries are."""
    return min(max(sizes), MOST_REAL)


def vectors_folder(work: Path, passages: int) -> Path:
    """Where the token vectors of so many passages are."""
    return work / f"vectors-{passages}"


def make_vectors(data: Path, folder: Path, passages: int) -> None:
    """What vectors.py makes, unless it is there."""
    if not (folder / "facts.json").exists():
        print(f"{folder.name} ...", flush=True)
        run("vectors.py", str(data), str(folder), "--passages", str(passages))


def run(script: str, *arguments: str) -> str:
    """The result lines that a script printed."""
    command = [sys.executable, str(HERE / script), *arguments]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return "".join(line + "\n" for line in printed.splitlines() if line.startswith('{"benchmark"'))


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "benchmarks")
    parser.add_argument("--sizes", default="10000,100000", help="documents, with commas between")
    parser.add_argument("--only", nargs="+", choices=list(commands(Path(), Path(), [1])))
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.sizes.split(","))
    chosen = commands(options.data, options.work, sizes)
    if options.only:
        chosen = {name: chosen[name] for name in options.only}
    if set(chosen) - {"scale", "quality", "codecs", "compare"}:
        make_vectors(options.data, vectors_folder(options.work, USUAL), USUAL)
    if "scale" in chosen:
        make_vectors(options.data, vectors_folder(options.work, real(sizes)), real(sizes))
    RESULTS.mkdir(exist_ok=True)
    for name, lines in chosen.items():
        print(f"{name} ...", flush=True)
        (RESULTS / f"{name}.jsonl").write_text("".join(run(*line) for line in lines))
    print(f"tables and charts: {sys.executable} benchmarks/report.py README.md docs/benchmarks.md")


if __name__ == "__main__":
    main()
