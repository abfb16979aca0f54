"""Oracle: networks that only torch runs, by sentence-transformers and by plait in the same environment.

Makes checkpoints of MPNet and DeBERTa-v2, which the ONNX builder does not know, and prints for each the least
cosine between the two. Needs ``src`` on the path.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from models import SIZES, word_pieces
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

NETWORKS = {
    "mpnet": lambda words: transformers.MPNetModel(transformers.MPNetConfig(vocab_size=words, **SIZES)),
    "deberta-v2": lambda words: transformers.DebertaV2Model(
        transformers.DebertaV2Config(
            vocab_size=words, relative_attention=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0, **SIZES
        )
    ),
}


def main(folder: Path, texts: dict[str, list[str]]) -> None:
    from plait.encoder import load_encoder

    for name, build in NETWORKS.items():
        base, target = folder / f"{name}-base", folder / name
        tokenizer = word_pieces()
        torch.manual_seed(5)
        build(len(tokenizer)).save_pretrained(base)
        tokenizer.save_pretrained(base)
        modules = [
            Transformer(str(base), query_length=24, document_length=40),
            Dense(32, 40, activation_function=torch.nn.GELU(), module_input_name="token_embeddings"),
            Dense(40, 16, bias=False, use_residual=True, module_input_name="token_embeddings"),
            MultiVectorMask(skiplist_words=["!", "."]),
            Normalize(module_input_name="token_embeddings"),
        ]
        MultiVectorEncoder(modules=modules, device="cpu").save_pretrained(
            str(target), create_model_card=False
        )
        shutil.rmtree(base)
        print(f"torch: {name:17} least cosine {_least_cosine(target, texts, load_encoder(target)):.7f}")


def _least_cosine(target: Path, texts: dict[str, list[str]], encoder: object) -> float:
    original = MultiVectorEncoder(str(target), device="cpu")
    least = 1.0
    for kind, ours, theirs in (
        ("queries", encoder.encode_queries, original.encode_query),
        ("documents", encoder.encode_documents, original.encode_document),
    ):
        given = [text for text in texts[kind] if text.strip()]
        for found, wanted in zip(ours(given), theirs(given), strict=True):
            wanted = np.asarray(wanted)
            assert found.shape == wanted.shape
            least = min(least, float((found * wanted).sum(axis=1).min()))
    return least


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
