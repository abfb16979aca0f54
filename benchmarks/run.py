"""All benchmarks of plait, one after the other, into benchmarks/results/: `python benchmarks/run.py DATA`.

DATA holds `arxiv/` and `eval/` (see vectors.py and quality.py). Takes about an hour of one core; a part can
be chosen with --only. Rivals need environments of their own: run_rivals.py. Tables: report.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def commands(data: Path, work: Path) -> dict[str, list[str]]:
    """The command line of each result file."""
    vectors = str(work / "vectors")
    return {
        "search": ["search.py", vectors, "--nbits", "2", "4"],
        "sweep": ["search.py", vectors, "--nbits", "4", "--sweep", "10", "100", "1000"],
        "stages": ["stages.py", vectors],
        "quality": ["quality.py", str(data), "--cache", str(work / "encoded")],
        "startup": ["startup.py", vectors, "--weight"],
        "scan_threshold": ["scan_threshold.py", vectors],
    }


def run(script: str, *arguments: str) -> str:
    """What a script printed."""
    command = [sys.executable, str(HERE / script), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "benchmarks")
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=list(commands(Path(), Path())))
    options = parser.parse_args()
    if not (options.work / "vectors" / "facts.json").exists():
        run(
            "vectors.py",
            str(options.data),
            str(options.work / "vectors"),
            "--passages",
            str(options.passages),
        )
    RESULTS.mkdir(exist_ok=True)
    for name, command in commands(options.data, options.work).items():
        if options.only is None or name in options.only:
            print(f"{name} ...", flush=True)
            (RESULTS / f"{name}.jsonl").write_text(run(*command))
    print(f"tables: {sys.executable} benchmarks/report.py")


if __name__ == "__main__":
    main()
