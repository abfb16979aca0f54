"""The built-in model as the base of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import plait
from plait.encoder import convert
from plait.errors import CheckpointError, SourceNotFound
from plait.train import Group, TrainSettings, load_system, train

pytest.importorskip("sentence_transformers")

TEXTS = [
    "What is the boundary layer?",
    "The moon goes round the earth, in about a month; tides (two a day) are caused by it.",
    "A stone oven is heated with wood before the loaves go in.",
]
SMALL = TrainSettings(
    learning_rate=1e-3, frozen_layers=5, batch_size=4, steps=2, document_length=32, keep="last"
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as training begins with it."""
    from plait.train.systems import start_system

    folder = tmp_path_factory.mktemp("builtin") / "start"
    start_system("builtin", TrainSettings(), folder)
    return folder


def test_it_gives_the_vectors_of_the_model_that_ships(start: Path):
    shipped, system = plait.load_encoder(), load_system(start)
    for side in ("encode_queries", "encode_documents"):
        for expected, found in zip(getattr(shipped, side)(TEXTS), getattr(system, side)(TEXTS), strict=True):
            assert found.shape == expected.shape
            # The shipped one multiplies activations of 8 bits, this one those of 32.
            assert np.mean(np.sum(expected * found, axis=1)) > 0.99
            assert np.min(np.sum(expected * found, axis=1)) > 0.97


def test_it_reads_texts_as_the_model_that_ships(start: Path):
    shipped, found = plait.load_encoder().settings, load_system(start).settings
    for name in ("query_length", "document_length", "query_expansion", "skiplist_words", "normalise", "dim"):
        assert getattr(found, name) == getattr(shipped, name)


def test_it_is_trained_on_and_converted(groups: list[Group], tmp_path: Path):
    trained = train(groups, tmp_path / "out", model="builtin", held_out=0, settings=SMALL)
    assert trained.steps == 2
    convert(tmp_path / "out", tmp_path / "model", int8=True)
    (found,) = plait.load_encoder(tmp_path / "model").encode_documents(TEXTS[:1])
    (before,) = plait.load_encoder().encode_documents(TEXTS[:1])
    assert found.shape == before.shape
    assert 0.9 < np.mean(np.sum(found * before, axis=1)) < 0.9999


def test_it_can_become_another_system(groups: list[Group], tmp_path: Path):
    train(groups, tmp_path / "out", model="builtin", held_out=0, settings=SMALL.replace(system="bi-encoder"))
    (one,) = load_system(tmp_path / "out").encode_queries(TEXTS[:1])
    assert one.shape == (1, 384)


def test_a_folder_of_that_name_comes_first(
    groups: list[Group], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "builtin").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="builtin"):
        train(groups, tmp_path / "out", model="builtin", held_out=0, settings=SMALL)


def test_another_name_is_no_model(groups: list[Group], tmp_path: Path):
    with pytest.raises(SourceNotFound, match="'builtin'"):
        train(groups, tmp_path / "out", model="bulitin", held_out=0, settings=SMALL)


def test_a_graph_that_is_built_otherwise_is_refused(tmp_path: Path):
    from plait.encoder.graph.onnx_file import Graph
    from plait.train.builtin import builtin_weights

    graph = Graph()
    graph.constant(np.ones((4, 8), dtype=np.float32))
    graph.save(tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match="is not built as"):
        builtin_weights(tmp_path / "model.onnx")
