"""Cross-encoders that other packages bring."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import plait
from plait.encoder import packages
from plait.errors import CheckpointError, InvalidParameter, SourceNotFound
from tests.encoder.test_cross_encoder import DOCUMENTS, GOLDEN, QUERIES


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package with a cross-encoder where Python finds it, under a name."""

    def put(name: str, module: str) -> None:
        plait.encoder.convert(GOLDEN / "ce-bert", tmp_path / "site" / module)
        (tmp_path / "site" / module / "__init__.py").write_text("raise RuntimeError('not to be run')\n")
        info = tmp_path / "site" / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{packages.GROUP}]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    yield put
    for module in [name for name in sys.modules if name.startswith("a_cross_encoder")]:
        del sys.modules[module]


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(packages, "entry_points", lambda group: [])


def test_a_package_is_found_by_its_name_without_running_it(install):
    install("little", "a_cross_encoder_of_tests")
    found = plait.CrossEncoder("little").score(QUERIES[0], DOCUMENTS)
    np.testing.assert_array_equal(found, plait.CrossEncoder(GOLDEN / "ce-bert").score(QUERIES[0], DOCUMENTS))


def test_the_default_is_minilm(install, monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "DEFAULT", "minilm")
    install("minilm", "a_cross_encoder_of_tests")
    own = EntryPoint("minilm", "a_cross_encoder_of_tests", packages.GROUP)
    monkeypatch.setattr(packages, "entry_points", lambda group: [own])
    named, unnamed = plait.CrossEncoder("minilm"), plait.CrossEncoder()
    assert named.fingerprint == unnamed.fingerprint
    index = plait.Index.create(tmp_path / "index")
    index.add(["Paris is the capital of France.", "Bread rises."])
    found = plait.Pipeline(index).colbert(2).cross_encoder(1).search("What rises?")
    assert list(found[0].scores) == ["colbert", "cross_encoder"]


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch, nothing_installed):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "ce-bert", "minilm")
    assert plait.CrossEncoder("minilm").name == "minilm"


@pytest.mark.parametrize("given", [(), ("minilm",), ("unknown",)])
def test_what_is_missing_is_told(given, nothing_installed):
    wanted = given[0] if given else "minilm"
    with pytest.raises(SourceNotFound) as caught:
        plait.CrossEncoder(*given)
    assert f"no cross-encoder named {wanted!r} is installed" in str(caught.value)
    assert "pip install ./packages/plait-cross-encoder-minilm" in str(caught.value)


def test_a_pipeline_without_one_tells_it_before_it_searches(nothing_installed):
    with pytest.raises(InvalidParameter, match=r"--cross-encoder\. no cross-encoder named 'minilm'"):
        plait.Pipeline.from_string("one:5 > cross:3", retrievers=[_Retriever()])


def test_a_path_is_never_a_name(nothing_installed, tmp_path):
    with pytest.raises(SourceNotFound, match="there is no such folder"):
        plait.CrossEncoder(tmp_path / "minilm")
    with pytest.raises(SourceNotFound, match="there is no such folder"):
        plait.CrossEncoder("./minilm")


def test_a_package_whose_files_are_gone(monkeypatch):
    gone = EntryPoint("little", "no_such_module_here", packages.GROUP)
    monkeypatch.setattr(packages, "entry_points", lambda group: [gone])
    with pytest.raises(CheckpointError, match="has no module no_such_module_here: install it again"):
        plait.CrossEncoder("little")


class _Retriever:
    name = "one"

    def search(self, query, k, *, filter=None, ids=None):
        return []
