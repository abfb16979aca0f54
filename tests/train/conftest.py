"""A tiny random network, and groups that it can learn: a query names a thing, its document describes it.

And a small judged corpus with an index of it by the built-in model.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import plait
from plait.train import Group, Mining, Source, mine

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
        initializer_range=0.2,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


TOPICS = {
    "bread": "Bread is baked from flour, water, yeast and salt in a hot oven.",
    "rye": "Rye bread is dark, heavy and sour, and keeps for a week.",
    "dough": "Dough rests until the yeast has made it twice as large.",
    "oven": "A stone oven is heated with wood before the loaves go in.",
    "moon": "The moon goes round the earth in about a month.",
    "tides": "Tides are caused by the moon and come twice a day.",
    "sun": "The sun is a star, and the planets go round it.",
    "eclipse": "An eclipse happens when the moon stands before the sun.",
    "paris": "Paris is the capital of France and lies on the Seine.",
    "berlin": "Berlin is the capital of Germany and lies on the Spree.",
    "rome": "Rome is the capital of Italy and lies on the Tiber.",
    "copy": "Paris is the capital of France, and lies on the Seine!",
}
QUERIES = {
    "q1": "what is bread made of?",
    "q2": "what makes the tides?",
    "q3": "What is the capital of France",
    "unjudged": "nobody knows",
}
QRELS = {"q1": {"bread": 2, "oven": 0}, "q2": {"tides": 1, "moon": 1}, "q3": {"paris": 1}}


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> plait.Index:
    """An index of TOPICS; not to be written to."""
    index = plait.Index.create(tmp_path_factory.mktemp("train") / "index")
    index.add(list(TOPICS.values()), ids=list(TOPICS))
    return index


@pytest.fixture
def mined(index: plait.Index, tmp_path: Path) -> Path:
    """A file of groups with three random negatives each."""
    mine(index, QUERIES, QRELS, tmp_path / "groups.jsonl", Mining([Source("random", 3)]))
    return tmp_path / "groups.jsonl"
