"""The cross-encoder in packages/plait-cross-encoder-minilm, as it is in the repository or installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import plait
from plait.encoder import packages
from tests.encoder.test_builtin import PASSAGES, QUESTIONS

MODULE = "plait_cross_encoder_minilm"


@pytest.fixture(scope="module")
def folder(pytestconfig):
    return pytestconfig.rootpath / "packages" / "plait-cross-encoder-minilm"


@pytest.fixture
def installed(folder, monkeypatch):
    """As if it were installed."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    entries = [
        EntryPoint(name, module, packages.GROUP)
        for name, module in project["entry-points"][packages.GROUP].items()
    ]
    monkeypatch.setattr(packages, "entry_points", lambda group: entries)
    monkeypatch.syspath_prepend(str(folder))


def test_the_package_says_what_plait_looks_for(folder):
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "plait-cross-encoder-minilm"
    assert project["entry-points"] == {packages.GROUP: {packages.DEFAULT: MODULE}}
    assert project["license"] == "Apache-2.0"
    assert "dependencies" not in project
    assert all((folder / name).is_file() for name in project["license-files"])


def test_it_is_small(folder):
    assert (folder / MODULE / "model.onnx").stat().st_size < 25e6


def test_what_answers_is_above_what_does_not(installed):
    model = plait.CrossEncoder()
    assert model.name == "plait-cross-encoder-minilm"
    for question, right in QUESTIONS.items():
        scores = model.score(question, PASSAGES)
        assert int(np.argmax(scores)) == right, question


def test_a_pipeline_takes_it(installed, tmp_path):
    index = plait.Index.create(tmp_path / "index")
    index.add(PASSAGES)
    for pipeline in ("colbert:5 > cross:2", "colbert:5 > cross:2*0.5"):
        (first, _) = plait.Pipeline.from_string(pipeline, index).search("why does dough rise")
        assert first.text == PASSAGES[3]
        assert list(first.scores) == ["colbert", "cross_encoder"]


def test_it_needs_no_torch(folder):
    program = (
        f"import sys; sys.modules['torch'] = None; import plait; "
        f"print(plait.CrossEncoder({str(folder / MODULE)!r}).score('dough', ['Bread dough rises.']).shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(1,)\n"
