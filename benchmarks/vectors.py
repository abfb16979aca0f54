"""Real token vectors for the other benchmarks: `python benchmarks/vectors.py DATA OUT [--passages 10000]`.

DATA holds `arxiv/arxiv-*.jsonl.xz` (JSON lines with "title" and "text"). A passage is a run of whole
sentences of one abstract: sentences are added until there are 55 words; runs of fewer than 40 words (at the
end of an abstract) or more than 110 are left out. With the built-in encoder that makes about 80 token
vectors per passage.

Queries, 200 of them:
    50  known item: the title of the abstract that a random passage is from
    50  known item: the first 40 words of a random passage, 40 % of the words dropped
    100 held out: titles of abstracts that have no passage in the set
as the encoder gives them (ragged), and at exactly 32 tokens for engines that need one shape: longer ones
are cut, shorter ones filled with their own token vectors plus noise (cosine about .96), which stands for
query expansion.

OUT gets passages.jsonl, emb.npy f16 [ntokens, dim], doclens.npy i64, queries.npz and facts.json. The f16
values are the truth that every engine indexes.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import measure
import numpy as np
import numpy.typing as npt

WORDS, FEWEST_WORDS, MOST_WORDS = 55, 40, 110
KNOWN_ITEM_WORDS, DROPPED = 40, 0.4
QUERIES = 200
PADDED_LENGTH = 32
NOISE = 0.3
CHUNK = 1024

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class VectorSet:
    """What `vectors.py` wrote into a folder."""

    folder: Path

    @cached_property
    def embeddings(self) -> Array:
        """f16 ``[ntokens, dim]``, memory-mapped."""
        return np.load(self.folder / "emb.npy", mmap_mode="r")

    @cached_property
    def doclens(self) -> Array:
        """i64 ``[ndocs]``."""
        return np.load(self.folder / "doclens.npy")

    @cached_property
    def offsets(self) -> Array:
        """i64 ``[ndocs + 1]``."""
        return np.concatenate([[0], np.cumsum(self.doclens)])

    def queries(self, kind: str) -> list[Array]:
        """f32 ``[nq, dim]`` each; kind is "padded" (32 tokens) or "ragged"."""
        stored = np.load(self.folder / "queries.npz")
        if kind == "padded":
            return list(stored["padded"])
        return np.split(stored["ragged"], np.cumsum(stored["doclens"])[:-1])

    def texts(self) -> list[str]:
        """The passages."""
        with (self.folder / "passages.jsonl").open() as lines:
            return [json.loads(line)["text"] for line in lines]

    def query_texts(self) -> list[str]:
        """The texts of the queries."""
        return list(json.loads((self.folder / "queries.json").read_text()))

    def exact_file(self, kind: str) -> Path:
        """Where exact.py keeps the best 100 documents of each query: named after the content of the set."""
        digest = hashlib.blake2b(digest_size=12)
        for array in (self.embeddings, self.doclens, *self.queries(kind)):
            digest.update(np.ascontiguousarray(array).data)
        return self.folder / f"exact-{kind}-{digest.hexdigest()}.npy"

    def facts(self) -> dict[str, Any]:
        """Documents, tokens and dimensions, for result lines."""
        tokens, dim = self.embeddings.shape
        return {"documents": len(self.doclens), "tokens": tokens, "dim": dim}


def records(folder: Path) -> Iterator[dict[str, str]]:
    """Titles and abstracts, in the order of the files."""
    for path in sorted((folder / "arxiv").glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def passages(abstract: str) -> Iterator[str]:
    """Runs of whole sentences."""
    run: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(abstract.split())):
        run += sentence.split()
        if len(run) >= WORDS:
            if len(run) <= MOST_WORDS:
                yield " ".join(run)
            run = []
    if len(run) >= FEWEST_WORDS:
        yield " ".join(run)


@dataclass(frozen=True)
class Texts:
    """Passages, the place of the title of each, and titles of other abstracts."""

    passages: list[str]
    titles: list[str]
    held_out: list[str]


def choose(source: Iterable[dict[str, str]], count: int) -> Texts:
    texts = Texts([], [], [])
    for record in source:
        if len(texts.passages) >= count:
            texts.held_out.append(record["title"])
            if len(texts.held_out) == QUERIES // 2:
                return texts
            continue
        for passage in passages(record["text"]):
            texts.passages.append(passage)
            texts.titles.append(record["title"])
    raise SystemExit(f"there are only {len(texts.passages)} passages")


def query_texts(texts: Texts, rng: np.random.Generator) -> list[str]:
    chosen = rng.choice(len(texts.passages), QUERIES // 2, replace=False).tolist()
    titles = [texts.titles[place] for place in chosen[: QUERIES // 4]]
    parts = [dropped(texts.passages[place], rng) for place in chosen[QUERIES // 4 :]]
    return [*titles, *parts, *texts.held_out]


def dropped(passage: str, rng: np.random.Generator) -> str:
    words = np.array(passage.split()[:KNOWN_ITEM_WORDS])
    kept = rng.choice(len(words), round(len(words) * (1 - DROPPED)), replace=False)
    return " ".join(words[np.sort(kept)])


def padded(query: Array, rng: np.random.Generator) -> Array:
    """f32 ``[32, dim]``: cut, or filled with noisy copies of its own rows."""
    places = np.arange(PADDED_LENGTH) % len(query)
    noise = rng.standard_normal((PADDED_LENGTH, query.shape[1])) * NOISE / np.sqrt(query.shape[1])
    noise[: len(query)] = 0
    rows = query[places] + noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write_passages(encoder: Any, texts: list[str], out: Path, threads: int | None) -> Array:
    """Encode in chunks, straight to disk. Returns the lengths of the documents."""
    doclens: list[Array] = []
    raw = out / "emb.raw"
    with raw.open("wb") as file:
        for start in range(0, len(texts), CHUNK):
            doclens.append(write_chunk(encoder, texts[start : start + CHUNK], file, threads))
            print(f"encoded {min(start + CHUNK, len(texts))} of {len(texts)}", flush=True)
    lengths = np.concatenate(doclens)
    shape = (int(lengths.sum()), encoder.dim)
    rows = np.memmap(raw, dtype=np.float16, mode="r", shape=shape)
    target = np.lib.format.open_memmap(out / "emb.npy", mode="w+", dtype=np.float16, shape=shape)
    for start in range(0, len(rows), 1 << 18):
        target[start : start + (1 << 18)] = rows[start : start + (1 << 18)]
    target.flush()
    raw.unlink()
    np.save(out / "doclens.npy", lengths)
    return lengths


def write_chunk(encoder: Any, texts: list[str], file: IO[bytes], threads: int | None) -> Array:
    found = encoder.encode_documents(texts, threads=threads)
    file.write(found.vectors.astype(np.float16).tobytes())
    return found.doclens


def main() -> None:
    import plait

    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    encoder = plait.load_encoder()
    texts = choose(records(options.data), options.passages)
    asked = query_texts(texts, rng)
    (options.out / "queries.json").write_text(json.dumps(asked))
    queries = encoder.encode_queries(asked, threads=options.threads)
    np.savez(
        options.out / "queries.npz",
        ragged=queries.vectors,
        doclens=queries.doclens,
        padded=np.stack([padded(query, rng) for query in queries]),
    )
    kept = texts.passages[: options.passages]
    with (options.out / "passages.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(kept))
    lengths = write_passages(encoder, kept, options.out, options.threads)
    facts = {
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "tokens_per_passage": round(float(lengths.mean()), 1),
        "tokens_per_query": round(float(queries.doclens.mean()), 1),
    }
    (options.out / "facts.json").write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
