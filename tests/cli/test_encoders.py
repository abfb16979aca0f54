"""plait convert, and --model with the checkpoints of other tools."""

import json
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "parity"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_convert_then_index_with_either(plait, corpus, tmp_path):
    done = plait("convert", GOLDEN / "pylate-bert", "-o", tmp_path / "model", "--int8")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"wrote {tmp_path / 'model'} (model.onnx: ")
    for place, model in enumerate((GOLDEN / "pylate-bert", tmp_path / "model")):
        assert plait("index", corpus, "-o", tmp_path / str(place), "--model", model).code == 0
        found = plait("search", tmp_path / str(place), "capital", "-k", 2, "--json")
        assert (found.code, len(found.lines)) == (0, 2)


def test_what_is_assumed_is_one_line_on_stderr(plait, corpus, tmp_path):
    model = shutil.copytree(GOLDEN / "stanford-bert", tmp_path / "model")
    values = json.loads((model / "artifact.metadata").read_text())
    (model / "artifact.metadata").write_text(json.dumps(values | {"doc_maxlen": 99}))
    done = plait("index", corpus, "-o", tmp_path / "new", "--model", model)
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("warning: ")
    assert "document_length is 99" in line


def test_a_checkpoint_that_can_not_be_used(plait, tmp_path):
    done = plait("convert", tmp_path / "nothing", "-o", tmp_path / "model")
    assert done.code == 1
    assert done.err.startswith(f"error: {tmp_path / 'nothing'}: there is no such folder")
    assert not (tmp_path / "model").exists()
