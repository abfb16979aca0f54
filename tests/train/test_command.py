"""``plait train`` as a program: what it prints, and that an interrupted one goes on."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import plait
from plait.cli.main import app
from plait.train import Group, write_groups

pytest.importorskip("torch")

OPTIONS = ["--batch-size", "8", "--query-length", "8", "--document-length", "20", "--learning-rate", "3e-3"]


def command(base: Path, folder: Path, *more: str) -> list[str]:
    groups, output = str(folder / "groups.jsonl"), str(folder / "model")
    return ["train", groups, "--model", str(base), "-o", output, "--held-out", "8", *OPTIONS, *more]


def run(base: Path, folder: Path, *more: str) -> Result:
    return CliRunner().invoke(app, command(base, folder, *more))


def test_a_model_is_trained_converted_and_searched_with(base: Path, groups: list[Group], tmp_path: Path):
    write_groups(tmp_path / "groups.jsonl", groups)
    more = ("--steps", "10", "--loss", "both", "--teacher-temperature", "2", "--dim", "16")
    result = run(base, tmp_path, *more)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first == f"wrote {tmp_path / 'model'} after 10 steps"
    assert second.startswith("held-out nDCG@10: ")
    with (tmp_path / "model" / "training" / "log.csv").open() as file:
        assert {"contrastive", "distillation", "ndcg@10"} < set(next(csv.DictReader(file)))
    with plait.Index.create(tmp_path / "index", model=tmp_path / "model") as index:
        index.add([group.documents[0] for group in groups])
        assert len(index.search(groups[0].query, k=3)) == 3


@pytest.mark.slow
def test_ctrl_c_in_the_program_and_going_on(base: Path, groups: list[Group], tmp_path: Path):
    write_groups(tmp_path / "groups.jsonl", groups)
    long = ("--steps", "100000", "--validate-every", "20", "--json")
    program = [sys.executable, "-W", "error", "-m", "plait", *command(base, tmp_path, *long)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        log = tmp_path / "model" / "training" / "log.csv"
        while process.poll() is None and not (log.is_file() and log.read_text().count("\n") > 2):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, remarks = process.communicate()
    assert (process.returncode, output) == (130, "")
    assert remarks == "interrupted\n"
    assert (tmp_path / "model" / "training" / "state.pt").is_file()
    refused = run(base, tmp_path, "--steps", "40", "--resume")
    assert refused.exit_code == 1
    assert "steps is 40, but the run" in refused.stderr


def test_what_the_program_refuses(base: Path, groups: list[Group], tmp_path: Path):
    write_groups(tmp_path / "groups.jsonl", [Group("q", ("d",)), Group("p", ("e",))])
    result = run(base, tmp_path, "--loss", "distillation", "--held-out", "0")
    assert result.exit_code == 1
    assert "teacher's scores" in result.stderr
    assert not (tmp_path / "model").exists()


def test_json_tells_the_log(base: Path, groups: list[Group], tmp_path: Path):
    write_groups(tmp_path / "groups.jsonl", groups)
    more = ("--steps", "2", "--system", "me-bert", "--vectors", "3", "--json")
    result = run(base, tmp_path, *more)
    found = json.loads(result.stdout)
    assert found["steps"] == 2
    assert [row["step"] for row in found["log"]] == [0, 1, 2]


def test_the_page_on_systems_runs(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "systems.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "base_model").symlink_to(base)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks), {})
    assert "held-out nDCG@10" in capsys.readouterr().out
