"""The documentation is true: links lead somewhere, examples run, names exist."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import plait

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    if page.name != "LICENSE"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/filters.md", "docs/living.md"])
def test_python_examples_run_in_order(page: str, tmp_path: Path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert {"docs/filters.md": "filter['yaer'] tests a field"}.get(page, "Paris") in result.stdout


def test_the_page_on_checkpoints_runs(tmp_path: Path):
    page = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    golden = ROOT / "tests" / "golden"
    shutil.copytree(golden / "parity" / "pylate-bert", tmp_path / "my_colbert")
    shutil.copytree(golden / "cross_encoders" / "ce-bert", tmp_path / "my_cross_encoder")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for kind, command in (("python", [sys.executable, "-W", "error", "-c"]), ("bash", ["bash", "-e", "-c"])):
        blocks = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
        result = subprocess.run(
            [*command, "\n".join(blocks)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert blocks
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "my_encoder" / "model.onnx").is_file()
    assert (tmp_path / "my_fast_cross_encoder" / "cross_encoder.json").is_file()


def test_the_page_on_comparing_runs(tmp_path: Path):
    page = (ROOT / "docs" / "comparing.md").read_text(encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    last = "from plait.evaluate import"
    python = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    bash = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    blocks = [
        [sys.executable, "-W", "error", "-c", "\n".join(block for block in python if last not in block)],
        ["bash", "-e", "-c", "\n".join(bash)],
        [sys.executable, "-W", "error", "-c", next(block for block in python if last in block)],
    ]
    printed = []
    for command in blocks:
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        printed.append(result.stdout)
    assert "| BM25" in printed[0]
    assert "There are no judgements: 5 known-item queries were made" in printed[1]
    assert "nDCG@10: +" in printed[2]
    assert (tmp_path / "my_report" / "latency.svg").is_file()


def test_the_page_on_pipelines_runs(tmp_path: Path):
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "tests" / "golden" / "cross_encoders" / "ce-bert", tmp_path / "path/to/checkpoint")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    (stages,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "stages.toml").write_text(stages)
    said = {}
    for kind, command in (("python", [sys.executable, "-W", "error", "-c"]), ("bash", ["bash", "-e", "-c"])):
        blocks = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
        assert blocks
        if kind == "python":
            blocks.append("print(plait.Pipeline.from_config('stages.toml'))")
        result = subprocess.run(
            [*command, "\n".join(blocks)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        said[kind] = result.stdout
    assert said["python"].splitlines()[-1] == (
        "minmax(bm25:1000*0.3, bi_encoder:1000*0.7) > colbert:100 > cross_encoder:10*0.5@50ms"
    )
    assert "3 ['colbert']" in said["python"], "a budget makes no hits fewer"
    assert "Paris is the capital of France." in said["bash"]


#: Page about a tool -> an index that the tool made, which the page calls old_index.
MIGRATING = {
    "colbert-ai": "colbert-ai-4",
    "ragatouille": "ragatouille",
    "pylate": "pylate",
    "fast-plaid": "fast-plaid-1.7",
}


@pytest.mark.parametrize("tool", MIGRATING)
def test_migrating_pages_run_in_order(tool: str, tmp_path: Path):
    shutil.copytree(ROOT / "tests" / "golden" / "foreign" / MIGRATING[tool], tmp_path / "old_index")
    page = (ROOT / "docs" / "migrating" / f"{tool}.md").read_text(encoding="utf-8")
    theirs, ours = (re.findall(rf"```{mark}\n(.*?)```", page, re.DOTALL) for mark in ("py", "python"))
    assert len(ours) > len(theirs) > 3
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(ours)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_architecture_names_every_part():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for part in (ROOT / "src" / "plait").iterdir():
        if part.name.startswith(("_", ".")) or part.suffix not in ("", ".py"):
            continue
        name = f"{part.name}/" if part.is_dir() else part.name
        assert f"`{name}" in page or f"`{name}`" in page, f"ARCHITECTURE.md does not mention {name}"


def test_every_decision_has_its_number_and_is_one_page():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len(pages) >= 5
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:4]}: ")
        assert "**Context" in text or "## Context" in text, page.name


def test_public_names_resolve_and_are_documented():
    for name in plait.__all__:
        value = getattr(plait, name)
        assert name == "__version__" or value.__doc__, name
    assert set(plait.__all__) == set(dir(plait))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plait.nothing  # noqa: B018


def test_every_error_is_in_the_tree_at_the_top():
    errors = importlib.import_module("plait.errors")
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, plait.PlaitError):
            assert name in errors.__doc__, name


def test_docstring_examples():
    for name in ("plait.exact", "plait"):
        results = doctest.testmod(importlib.import_module(name))
        assert results.failed == 0


def test_the_changelog_knows_this_version():
    assert f"## {plait.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_importing_plait_loads_nothing_heavy():
    script = (
        "import sys, plait\n"
        "heavy = {'numpy', 'onnxruntime', 'tokenizers', 'torch', 'click', 'tqdm', 'sqlite3'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
