"""Oracle: sentence-transformers 6.2. Writes checkpoints and what it makes of the texts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from models import save
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

PUNCTUATION = list("!?.,;")
CHECKPOINTS = {
    "st-bert": (
        "bert",
        {"document_length": 40, "query_expansion": {"strategy": "fixed", "length": 24}},
        {"query": "[unused0] ", "document": "[unused1] "},
        {"skiplist_words": [*PUNCTUATION, "qwzx"]},
    ),
    "st-roberta": (
        "roberta",
        {"document_length": 40, "query_length": 32, "query_expansion": {"strategy": "min", "length": 20}},
        {"query": "search query: ", "document": "document: "},
        {"skiplist_words": PUNCTUATION, "skiplist_tasks": ["query", "document"]},
    ),
    "st-camembert": ("camembert", {"document_length": 40, "query_length": 24}, {}, {}),
    "st-modernbert": (
        "modernbert",
        {"document_length": 40, "query_expansion": {"strategy": "fixed", "length": 24, "attend": True}},
        {"query": "query: "},
        {"skiplist_words": PUNCTUATION},
    ),
}


def main(folder: Path, texts: dict[str, list[str]]) -> None:
    for seed, (name, (family, options, prompts, mask)) in enumerate(CHECKPOINTS.items()):
        base, target = folder / f"{name}-base", folder / name
        save(family, base, seed + 20)
        torch.manual_seed(seed)
        modules = [
            Transformer(str(base), **options),
            Dense(
                32, 16, bias=True, activation_function=torch.nn.Tanh(), module_input_name="token_embeddings"
            ),
            MultiVectorMask(**mask),
            Normalize(module_input_name="token_embeddings"),
        ]
        model = MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu")
        if name == "st-bert":
            model.tokenizer.add_special_tokens({"additional_special_tokens": ["[unused0]", "[unused1]"]})
        model.save_pretrained(str(target), create_model_card=False)
        shutil.rmtree(base)
        encoder = MultiVectorEncoder(str(target), device="cpu")
        found = {}
        for kind, encode in (("query", encoder.encode_query), ("document", encoder.encode_document)):
            for place, text in enumerate(texts["queries" if kind == "query" else "documents"]):
                found[f"{kind}{place}"] = np.asarray(encode([text])[0])
        np.savez_compressed(target / "expected.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
