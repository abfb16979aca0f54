"""docs/training.md, run: from documents without labels to a better model, and by how much it is better."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PLACES, THINGS

pytest.importorskip("sentence_transformers")

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
#: The base of the test is tiny and knows nothing: it takes larger steps, and has fewer layers to freeze.
SMALLER = {
    "frozen_layers = 5": "frozen_layers = 0",
    "learning_rate = 1e-4": "learning_rate = 2e-3",
    "epochs = 2": "steps = 40",
    "query_length = 48": "query_length = 16",
    "document_length = 160": "document_length = 40",
    "batch_size = 32": "batch_size = 8",
}


def test_the_tutorial(base: Path, tmp_path: Path):
    page = PAGE.read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    for old, new in SMALLER.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    (tmp_path / "recipe.toml").write_text(recipe)
    shutil.copytree(base, tmp_path / "all-MiniLM-L6-v2")
    with (tmp_path / "docs.jsonl").open("w") as file:
        for number, thing in enumerate(THINGS):
            for turn, place in enumerate(PLACES):
                other = THINGS[(number + turn + 1) % len(THINGS)]
                text = (
                    f"everybody knows the {thing} in the {place}. the {thing} is in the {place}, as {other}."
                )
                file.write(json.dumps({"title": f"{place} {thing}", "text": text}) + "\n")
    commands = "\n".join(re.findall(r"```bash\n(.*?)```", page, re.DOTALL))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ran = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    gain = json.loads((tmp_path / "run" / "report.json").read_text())["comparisons"]["held out"][0]
    assert gain["metric"] == "nDCG@10"
    assert gain["difference"] > 0
    assert (
        f"- nDCG@10: {gain['difference']:+.4f} (95% interval" in ran.stdout
    )  # the report, shown by the page
    assert "held out, nDCG@10:" in ran.stdout
    assert "train-1: done" in ran.stderr
