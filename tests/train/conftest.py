"""A tiny random network, and groups that it can learn: a query names a thing, its document describes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plait.train import Group

os.environ.setdefault("HF_HUB_OFFLINE", "1")

THINGS = ["river", "castle", "violin", "pepper", "planet", "spider", "bridge", "candle", "forest", "engine"]
PLACES = ["north", "south", "garden", "market"]


@pytest.fixture(scope="session")
def groups() -> list[Group]:
    """40 groups: a query of a thing and a place; the positive names both, negatives one of them."""
    found = []
    for number, thing in enumerate(THINGS):
        for turn, place in enumerate(PLACES):
            other = THINGS[(number + 1 + turn) % len(THINGS)]
            documents = (
                f"the {thing} is in the {place}, as everybody knows.",
                f"the {other} is in the {place}, as everybody knows.",
                f"the {thing} is in the {PLACES[(turn + 1) % len(PLACES)]}.",
            )
            found.append(Group(f"{place} {thing}", documents, (4.0, -2.0, 1.0)))
    return found


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, and a vocabulary of the words of ``groups``."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("base") / "tiny"
    words = [*THINGS, *PLACES, "the", "is", "in", "as", "everybody", "knows", ",", "."]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
    vocabulary = folder / "vocab.txt"
    folder.mkdir()
    vocabulary.write_text("\n".join([*special, *words]) + "\n", encoding="utf-8")
    from tokenizers.implementations import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(str(vocabulary))
    vocabulary.unlink()
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer,
        model_max_length=64,
        **{f"{name}_token": token for name, token in names.items()},
    ).save_pretrained(folder)
    torch.manual_seed(5)
    config = transformers.BertConfig(
        vocab_size=len(special) + len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
