"""Vectors from an encoder of your own: one [ntokens, dim] matrix per document, nothing padded."""

import tempfile
from pathlib import Path

import numpy as np

import plait

rng = np.random.default_rng(0)


def unit_rows(ntokens: int, dim: int = 64) -> np.ndarray:
    rows = rng.normal(size=(ntokens, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


documents = [unit_rows(ntokens) for ntokens in rng.integers(5, 40, size=200)]
query = documents[7][:4]  # four tokens of document 7: nothing can match them better

with tempfile.TemporaryDirectory() as folder:
    index = plait.Index.create(Path(folder, "vectors"), dim=64)
    index.add(vectors=documents)
    for hit in index.search(query, k=3):
        print(hit.rank, hit.id, f"{hit.score:.3f}")

    allowed = ["3", "5", "no such document"]
    print([hit.id for hit in index.search(query, k=10, ids=allowed)])  # only these, all of these

    embeddings = plait.TokenEmbeddings.from_list(documents)  # the same as one matrix and the lengths
    print(embeddings.vectors.shape, embeddings.doclens[:3])
    index.close()
