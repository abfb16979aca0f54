"""Compares plait's encoders with the libraries that checkpoints come from, or writes what tests compare with.

    python scripts/make_parity_goldens.py WORK          regenerate in WORK, compare with plait and the goldens
    python scripts/make_parity_goldens.py WORK --write  and then replace the goldens in tests/golden/parity

The three libraries can't be installed together, so each gets an environment in WORK, a folder outside of the
repository (3 GB). WORK keeps them for the next run. The checkpoints are tiny and random, with fixed seeds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "parity"
ORACLES = ROOT / "scripts" / "parity"
TEXTS = ORACLES / "texts.json"
TORCH = "torch==2.13.0"
ENVIRONMENTS = {
    "colbert_ai": [[TORCH, "colbert-ai==0.2.22", "transformers==4.57.*"]],
    # PyLate itself without its indexes, which want another torch.
    "pylate_models": [
        [
            TORCH,
            "sentence-transformers==5.3.0",
            "transformers==5.3.0",
            "datasets",
            "accelerate",
            "pandas",
            "ujson",
        ],
        ["--no-deps", "pylate==1.6.0"],
    ],
    "sentence_transformers_models": [[TORCH, "sentence-transformers==6.2.0"]],
}
LEAST_COSINE = 0.9999
CROSS_ENCODERS = ROOT / "tests" / "golden" / "cross_encoders"
MOST_DIFFERENCE = 1e-5


def install(folder: Path, packages: list[list[str]]) -> None:
    """Make an environment once; the mark says that it is complete."""
    if (folder / "complete").exists():
        return
    print(f"installing {folder.name}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
    for wanted in packages:
        subprocess.run([*install, *wanted], check=True)
    (folder / "complete").touch()


def ask(folder: Path, oracle: str, output: Path) -> str:
    """Let one library write its checkpoints and its vectors; gives what it printed."""
    print(f"asking {oracle}", flush=True)
    command = [folder / "bin" / "python", "-W", "ignore", ORACLES / f"{oracle}.py", output, TEXTS]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONPATH": str(ROOT / "src"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{oracle} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def ask_torch(work: Path) -> list[str]:
    """Compare the torch backend, in the environment of sentence-transformers, which has torch."""
    output = work / "torch"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    printed = ask(work / "sentence_transformers_models", "torch_backend", output)
    return [line for line in printed.splitlines() if line.startswith("torch: ")]


def compare_cross_encoders(work: Path, write: bool) -> bool:
    """Let sentence-transformers write cross-encoders and their scores; whether plait's are the same."""
    from tests.encoder.test_cross_encoder import most_difference

    output = work / "cross_encoders"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    ask(work / "sentence_transformers_models", "cross_encoders", output)
    differences = {folder: most_difference(folder) for folder in sorted(output.iterdir())}
    for folder, difference in differences.items():
        print(f"{folder.name:24} largest difference of a score {difference:.1e}")
    good = max(differences.values()) <= MOST_DIFFERENCE
    if write and good:
        shutil.rmtree(CROSS_ENCODERS, ignore_errors=True)
        shutil.copytree(output, CROSS_ENCODERS)
    return good


def compare(folder: Path) -> float:
    """The least cosine of a token between plait and the original, over all texts of a checkpoint."""
    from tests.encoder.test_parity import least_cosine

    from plait.encoder import load_encoder
    from plait.errors import CheckpointWarning

    warnings.simplefilter("ignore", CheckpointWarning)
    return least_cosine(load_encoder(folder), folder)


def same_as_golden(folder: Path) -> bool:
    """Whether the library gives what it gave when the goldens were written."""
    old = GOLDEN / folder.name / "expected.npz"
    if not old.exists():
        return False
    with np.load(old) as wanted, np.load(folder / "expected.npz") as found:
        return {*wanted} == {*found} and all(
            wanted[key].shape == found[key].shape and np.allclose(wanted[key], found[key], atol=1e-4)
            for key in wanted
        )


def main() -> None:
    """Make, compare, and maybe write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    output = options.work / "checkpoints"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    os.environ["XDG_CACHE_HOME"] = str(options.work / "cache")
    sys.path.insert(0, str(ROOT))
    for oracle, packages in ENVIRONMENTS.items():
        install(options.work / oracle, packages)
        ask(options.work / oracle, oracle, output)
    good = True
    for folder in sorted(output.iterdir()):
        least, same = compare(folder), same_as_golden(folder)
        good &= least >= LEAST_COSINE and (same or options.write)
        print(
            f"{folder.name:24} least cosine {least:.7f}  {'as' if same else 'NOT as'} in tests/golden/parity"
        )
    good &= compare_cross_encoders(options.work, options.write)
    for line in ask_torch(options.work):
        good &= float(line.rpartition(" ")[2]) >= LEAST_COSINE
        print(line)
    if options.write and good:
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(output, GOLDEN)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
