"""The evaluation sets, for the final look: nDCG@10 of MaxSim and of pooled vectors, with bootstrap intervals.

    python scripts/builtin_model/evaluate.py FOLDER --sets data/eval/cranfield ... --out look.jsonl

FOLDER is a model in plait's own layout whose graph gives ``token_embeddings`` and ``pooled``. One pass serves
both. Exact MaxSim over all documents. Figures of each query are kept, so that two models can be compared
query by query.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from plait import kernels
from plait.encoder.settings import read_settings
from plait.encoder.tokenizer import TextTokenizer, TokenizedText
from plait.evaluate import judged_queries, read_qrels
from plait.sources import read_documents, read_queries

RESAMPLES = 10_000
Floats = npt.NDArray[np.float32]


class TwoOutputs:
    """Token vectors and pooled vectors of a text."""

    def __init__(self, folder: Path) -> None:
        settings = read_settings(folder / "encoder.json")
        self.tokenizer = TextTokenizer(folder / "tokenizer.json", settings)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self.names = [node.name for node in self.session.get_inputs()]

    def __call__(self, text: TokenizedText) -> tuple[Floats, Floats]:
        """f32 [kept tokens, dim] and f32 [width], unit length."""
        values = {
            "input_ids": text.ids,
            "attention_mask": text.attended,
            "token_type_ids": np.zeros_like(text.ids),
        }
        tokens, pooled = self.session.run(None, {name: values[name][None] for name in self.names})
        rows = tokens[0][text.kept] if text.kept.any() else tokens[0]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True), pooled[0]


def ndcg(scores: Floats, gains: Floats) -> float:
    """nDCG@10 with gain = judgement; ties by position."""
    discounts = 1 / np.log2(np.arange(2, 12))
    top, best = gains[np.argsort(-scores, kind="stable")[:10]], np.sort(gains)[::-1][:10]
    return float(top @ discounts[: len(top)] / (best @ discounts[: len(best)]))


def measure(model: TwoOutputs, folder: Path, threads: int) -> dict[str, dict[str, float]]:
    """nDCG@10 of each query by "maxsim" and "pooled"."""
    documents = list(read_documents(folder, skip_bad_lines=True))
    qrels = read_qrels(folder)
    queries = judged_queries(read_queries(folder), qrels)
    rows = {document.id: row for row, document in enumerate(documents)}
    asked = [model(model.tokenizer.query(text)) for text in queries.values()]

    def score(text: str) -> tuple[list[float], list[float]]:
        vectors, pooled = model(model.tokenizer.document(text))
        offsets = np.array([0, len(vectors)], dtype=np.int64)
        first = np.zeros(1, dtype=np.uint32)
        late = [float(kernels.maxsim(own, vectors, offsets, first)[0]) for own, _ in asked]
        return late, [float(own @ pooled) for _, own in asked]

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(score, [document.text or "" for document in documents]))
    result: dict[str, dict[str, float]] = {}
    for kind, name in enumerate(("maxsim", "pooled")):
        scores = np.array([each[kind] for each in found], dtype=np.float32).T
        result[name] = {}
        for row, query in enumerate(queries):
            gains = np.zeros(len(documents), np.float32)
            for document, grade in qrels[query].items():
                if document in rows:
                    gains[rows[document]] = max(grade, 0)
            if gains.any():
                result[name][query] = ndcg(scores[row], gains)
    return result


def interval(values: list[float]) -> list[float]:
    """The 95 % interval of the mean, by resampling queries."""
    rng = np.random.default_rng(0)
    data = np.array(values)
    means = data[rng.integers(0, len(data), (RESAMPLES, len(data)))].mean(axis=1)
    return np.percentile(means, [2.5, 97.5]).round(4).tolist()


def main() -> None:
    """One line per set."""
    parser = argparse.ArgumentParser(description="Measure a model on evaluation sets.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    model = TwoOutputs(options.model)
    for folder in options.sets:
        queries = measure(model, folder, options.threads)
        line = {"model": options.model.name, "set": folder.name, "queries": queries}
        for name, values in queries.items():
            line[name] = round(float(np.mean(list(values.values()))), 4)
            line[f"{name} 95%"] = interval(list(values.values()))
        with options.out.open("a") as out:
            print(json.dumps(line), file=out)
        print({key: value for key, value in line.items() if key != "queries"}, flush=True)


if __name__ == "__main__":
    main()
