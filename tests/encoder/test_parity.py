"""Checkpoints of other libraries give the vectors that those libraries give (scripts/parity)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from plait.encoder import OnnxEncoder, load_encoder
from plait.errors import CheckpointWarning

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "parity"
TEXTS = json.loads((ROOT / "scripts" / "parity" / "texts.json").read_text(encoding="utf-8"))
CHECKPOINTS = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def load(path: Path) -> OnnxEncoder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        return load_encoder(path)


def vectors(encoder: OnnxEncoder, kind: str, text: str) -> np.ndarray:
    """The vectors of a text; also of an empty one, which the public methods refuse."""
    tokenize = encoder._tokenizer.query if kind == "query" else encoder._tokenizer.document
    return encoder._encode(tokenize(text))


def test_every_oracle_has_checkpoints():
    assert {name.split("-")[0] for name in CHECKPOINTS} >= {"stanford"}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_vectors_of_the_original(name):
    encoder = load(GOLDEN / name)
    least = 1.0
    with np.load(GOLDEN / name / "expected.npz") as expected:
        for kind, texts in (("query", TEXTS["queries"]), ("document", TEXTS["documents"])):
            for place, text in enumerate(texts):
                wanted, found = expected[f"{kind}{place}"], vectors(encoder, kind, text)
                assert found.shape == wanted.shape, (kind, text)
                least = min(least, float((found * wanted).sum(axis=1).min(initial=1)))
    assert least >= 0.9999
