"""Make tests/golden/foreign: small indexes of other tools, and the scores that these tools give.

``python scripts/make_foreign_indexes.py WORK`` makes an environment for each tool in the folder WORK, outside
the repository (about 6 GB: fast-plaid and PyLate need their own torch), builds the indexes there and copies
them. The tools differ in what they compute on other processors, so a new run changes the files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent / "foreign"
GOLDEN = HERE.parents[1] / "tests" / "golden" / "foreign"

COLBERT = [
    *("torch==2.13.0", "colbert-ai==0.2.22", "faiss-cpu", "transformers<4.56", "setuptools<80", "ninja"),
    *("srsly", "fast-pytorch-kmeans", "psutil"),
]
PLAID = ["torch==2.11.0", "pylate==1.6.0"]
#: Tool, environment, script, and packages that take the place of the environment's.
INDEXES = (
    ("colbert-ai-4", "colbert", "colbert_ai.py", None),
    ("colbert-ai-2", "colbert", "colbert_ai.py", None),
    ("ragatouille", "colbert", "colbert_ai.py", "ragatouille==0.0.9.post2"),
    ("pylate", "plaid", "plaid.py", None),
    ("fast-plaid-1.6", "plaid", "plaid.py", "fast-plaid==1.6.0.2110"),
    ("fast-plaid-1.7", "plaid", "plaid.py", "fast-plaid==1.7.0.2110"),
)


def environment(work: Path, name: str, packages: list[str]) -> Path:
    """The Python of an environment, made if it is not there."""
    folder = work / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def apart(python: Path, work: Path, package: str | None) -> str:
    """A folder with one package and none of its dependencies."""
    if package is None:
        return ""
    folder = work / package.replace("==", "-")
    if not folder.exists():
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder),
            package,
        ]
        subprocess.run(command, check=True)
    return str(folder)


def main(work: Path) -> None:
    """Build all of them."""
    built = work / "built"
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir(parents=True)
    pythons = {
        "colbert": environment(work, "colbert", COLBERT),
        "plaid": environment(work, "plaid", PLAID),
    }
    for tool, name, script, package in INDEXES:
        python = pythons[name]
        settings = {
            "PYTHONPATH": apart(python, work, package),
            "TORCH_EXTENSIONS_DIR": str(work / "extensions"),
            "HF_HUB_OFFLINE": "1",
        }
        command = [str(python), str(HERE / script), tool, str(built)]
        subprocess.run(command, check=True, env={**os.environ, **settings})
    shutil.rmtree(built / "colbert", ignore_errors=True)
    shutil.rmtree(GOLDEN, ignore_errors=True)
    shutil.copytree(built, GOLDEN, ignore=shutil.ignore_patterns("*.lock"))
    subprocess.run([sys.executable, str(HERE / "inputs.py"), str(GOLDEN)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
