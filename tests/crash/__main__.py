"""python -m tests.crash --kills 2000 --replays 2000 --seed 1: the crash tests at length."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.crash import recorder
from tests.crash.harness import REFUSALS, Figures, Harness
from tests.crash.victims import Victims


def main() -> int:
    """Run everything, say what was found, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("kills", 2000), ("replays", 2000), ("refusals", 300), ("steps", 12), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory() as scratch, Victims(recorder.build(Path(scratch))) as victims:
        harness = Harness(victims, Path(scratch).resolve(), given.seed, _progress)
        experiments = {
            f"kills (seed {given.seed})": lambda: harness.kills(given.kills),
            f"kills at every operation of {given.steps} steps": lambda: harness.every_operation(given.steps),
            f"power cuts (seed {given.seed})": lambda: harness.power_cuts(given.replays),
            **{kind: lambda kind=kind: harness.refusals(given.refusals, kind) for kind in REFUSALS},
        }
        for name, experiment in experiments.items():
            begun = time.monotonic()
            faults += _tell(name, experiment(), time.monotonic() - begun)
    return 1 if faults else 0


def _progress(done: int) -> None:
    if sys.stderr.isatty() and done % 10 == 0:
        print(f"\r{done} ", end="", file=sys.stderr)


def _tell(name: str, figures: Figures, seconds: float) -> int:
    found = asdict(figures)
    faults = found.pop("faults")
    print(f"{name}, {seconds:.0f} s: {found}; {len(faults)} faults", flush=True)
    for fault in faults:
        print(f"  {fault}")
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
