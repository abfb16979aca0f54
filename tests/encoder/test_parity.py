"""Checkpoints of other libraries give the vectors that those libraries give (scripts/parity)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from plait.encoder import CheckpointEncoder, load_encoder
from plait.encoder.graph import FAMILIES
from plait.errors import CheckpointWarning

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "parity"
TEXTS = json.loads((ROOT / "scripts" / "parity" / "texts.json").read_text(encoding="utf-8"))
CHECKPOINTS = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def load(path: Path) -> CheckpointEncoder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        return load_encoder(path)


def vectors(encoder: CheckpointEncoder, kind: str, text: str) -> np.ndarray:
    """The vectors of a text; also of an empty one, which the public methods refuse."""
    tokenize = encoder._tokenizer.query if kind == "query" else encoder._tokenizer.document
    return encoder._encode(tokenize(text))[0]


def least_cosine(encoder: CheckpointEncoder, folder: Path) -> float:
    """Over all tokens of all texts, after checking that there are as many vectors."""
    least = 1.0
    with np.load(folder / "expected.npz") as expected:
        for kind, texts in (("query", TEXTS["queries"]), ("document", TEXTS["documents"])):
            for place, text in enumerate(texts):
                wanted, found = expected[f"{kind}{place}"], vectors(encoder, kind, text)
                assert found.shape == wanted.shape, (kind, text)
                lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1)
                least = min(least, float(((found * wanted).sum(axis=1) / lengths).min(initial=1)))
    return least


def test_every_oracle_and_every_family_has_checkpoints():
    assert {name.split("-")[0] for name in CHECKPOINTS} == {"stanford", "pylate", "st"}
    assert {name.partition("-")[2] for name in CHECKPOINTS} == set(FAMILIES)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_vectors_of_the_original(name):
    assert least_cosine(load(GOLDEN / name), GOLDEN / name) >= 0.9999


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_padding_changes_nothing(name):
    """plait runs each text alone; whoever uses a converted graph elsewhere may pad."""
    encoder = load(GOLDEN / name)
    short, long = (encoder._tokenizer.document(text) for text in ("bread", "Paris is the capital of France."))
    ids = np.full((2, len(long.ids)), 1 if "roberta" in name or "camembert" in name else 0)
    seen = np.zeros_like(ids)
    for row, text in enumerate((short, long)):
        ids[row, : len(text.ids)] = text.ids
        seen[row, : len(text.ids)] = 1
    inputs = {"input_ids": ids, "attention_mask": seen, "token_type_ids": np.zeros_like(ids)}
    (padded,) = encoder._network.session.run(None, {key: inputs[key] for key in encoder._network.inputs})
    alone = {"input_ids": short.ids, "attention_mask": short.attended, "token_type_ids": 0 * short.ids}
    (found,) = encoder._network.session.run(None, {key: alone[key][None] for key in encoder._network.inputs})
    np.testing.assert_allclose(padded[0, : len(short.ids)], found[0], atol=1e-4)
