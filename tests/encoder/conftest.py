"""The built-in encoder, and a tiny one with ten words whose settings a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from plait.encoder import CheckpointEncoder, load_encoder
from tests.encoder.onnx_bytes import tiny_model

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[Q]", "[D]", *"abcdefghi!.,-", "##a"]
ID = {word: place for place, word in enumerate(WORDS)}
DIM = 4
TABLE = np.random.default_rng(7).normal(size=(len(WORDS), DIM)).astype(np.float32)
SETTINGS: dict[str, Any] = {
    "format_version": 1,
    "name": "tiny",
    "dim": DIM,
    "query_length": 8,
    "document_length": 10,
}
COLBERT: dict[str, Any] = {
    "query_prefix": "[Q]",
    "document_prefix": "[D]",
    "query_expansion": True,
    "mask_token": "[MASK]",
    "skiplist_words": list("!.,-~"),
}


def tiny_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordPiece(ID, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ID["[CLS]"]), ("[SEP]", ID["[SEP]"])]
    )
    return tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny encoder's folder; keyword arguments change ``encoder.json``."""

    def write(**changes: Any) -> Path:
        (tmp_path / "encoder.json").write_text(json.dumps(SETTINGS | changes))
        (tmp_path / "model.onnx").write_bytes(tiny_model(TABLE, pooled="pooled_dim" in changes))
        tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
        return tmp_path

    return write


@pytest.fixture
def tiny(folder: Callable[..., Path]) -> Callable[..., CheckpointEncoder]:
    """Loads the tiny encoder with the settings given."""
    return lambda **changes: load_encoder(folder(**changes))


@pytest.fixture(scope="session")
def builtin() -> CheckpointEncoder:
    return load_encoder()


def expected(tokens: str, unseen: str = "", normalise: bool = True) -> np.ndarray:
    """What the tiny graph gives for the tokens when ``unseen`` ones follow that are not attended."""
    own = TABLE[[ID[token] for token in (tokens + " " + unseen).split()]]
    vectors = own + 0.25 * own[: len(tokens.split())].sum(axis=0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if normalise else vectors
