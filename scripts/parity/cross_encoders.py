"""Oracle: sentence-transformers 6.2 as a cross-encoder. Writes checkpoints and its scores of pairs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from models import NETWORKS, TOKENIZERS
from sentence_transformers import CrossEncoder
from tokenizers import processors

CLASSES = {
    "bert": transformers.BertForSequenceClassification,
    "electra": transformers.ElectraForSequenceClassification,
    "distilbert": transformers.DistilBertForSequenceClassification,
    "roberta": transformers.RobertaForSequenceClassification,
    "xlm-roberta": transformers.XLMRobertaForSequenceClassification,
    "camembert": transformers.CamembertForSequenceClassification,
    "modernbert": transformers.ModernBertForSequenceClassification,
}
CHECKPOINTS = {
    "ce-bert": ("bert", torch.nn.Sigmoid(), {}, {}),
    "ce-electra": ("electra", torch.nn.Identity(), {}, {}),
    "ce-distilbert": ("distilbert", torch.nn.Tanh(), {}, {}),
    "ce-roberta": (
        "roberta",
        torch.nn.Sigmoid(),
        {},
        {"prompts": {"q": "search query: "}, "default_prompt_name": "q"},
    ),
    "ce-xlm-roberta": ("xlm-roberta", torch.nn.Sigmoid(), {}, {}),
    "ce-camembert": ("camembert", torch.nn.Identity(), {}, {}),
    "ce-modernbert": ("modernbert", torch.nn.Identity(), {"classifier_pooling": "mean"}, {}),
}
MAX_LENGTH = 40
SMALLER = {
    "distilbert": {"dim": 16, "n_heads": 2, "hidden_dim": 24},
    "": {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24},
}


def save(family: str, folder: Path, seed: int, changes: dict[str, str]) -> None:
    """A random network with a head, and a tokenizer that knows pairs."""
    tokenizer = TOKENIZERS[family]()
    first, last = tokenizer.cls_token, tokenizer.sep_token
    bert = first == "[CLS]"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1" if bert else f"{first} $A {last} {last} $B {last}",
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in (first, last)],
    )
    if family == "bert":  # else no token types are given, as the tokenizer's class decides
        names = ["input_ids", "token_type_ids", "attention_mask"]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names = names
    torch.manual_seed(seed)
    config = NETWORKS[family](len(tokenizer), tokenizer.pad_token_id).config
    config.num_labels = 1
    smaller = SMALLER[family if family in SMALLER else ""]
    for key, value in {**smaller, **changes}.items():
        setattr(config, key, value)
    model = CLASSES[family](config)
    with torch.no_grad():  # fresh norms and biases are ones and zeros, which hide mistakes
        for value in model.parameters():
            value.mul_(8 if value.dim() > 1 else 1).add_(
                torch.randn_like(value) * (0.2 if value.dim() == 1 else 0)
            )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(folder: Path, texts: dict[str, list[str]]) -> None:
    for seed, (name, (family, activation, changes, options)) in enumerate(CHECKPOINTS.items()):
        base, target = folder / f"{name}-base", folder / name
        save(family, base, seed + 40, changes)
        CrossEncoder(
            str(base), num_labels=1, max_length=MAX_LENGTH, activation_fn=activation, device="cpu", **options
        ).save_pretrained(str(target), create_model_card=False)
        shutil.rmtree(base)
        model = CrossEncoder(str(target), device="cpu")
        found = {}
        for place, query in enumerate(text for text in texts["queries"] if text.strip()):
            pairs = [(query, text) for text in texts["documents"] if text.strip()]
            found[f"scores{place}"] = np.array([model.predict([pair])[0] for pair in pairs])
            found[f"logits{place}"] = np.array(
                [model.predict([pair], activation_fn=torch.nn.Identity())[0] for pair in pairs]
            )
        np.savez_compressed(target / "expected.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
