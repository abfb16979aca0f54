"""Documents in pieces that fit into memory, and fair samples of them to train a codec on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import numpy as np

from plait.encoder import Encoder
from plait.store import IndexWriter, Snapshot, WriteOptions
from plait.store.parts import Encode
from plait.types import Document, FloatArray, TokenEmbeddings

#: Texts encoded, then compressed, at a time.
TEXTS_PER_CHUNK = 1024
#: About; to tell from texts alone how many vectors they will have.
CHARACTERS_PER_TOKEN = 5
#: Texts on which the compression is trained when a corpus comes in more than one batch.
SURVEYED = 4096
#: Given vectors compressed at a time.
TOKENS_PER_CHUNK = 262_144
#: Texts up to this many characters in all are held as vectors while a codec is trained on them;
#: of larger corpora a random sample of this size is encoded first.
MAX_HELD_CHARACTERS = 8_000_000


def write_documents(
    writer: IndexWriter,
    documents: list[Document],
    source: TokenEmbeddings | Encoder,
    expected: int | None = None,
) -> None:
    """Write documents and their vectors into one transaction.

    Args:
        writer: of the transaction.
        documents: with their ids.
        source: their vectors, or an encoder that makes them of the texts.
        expected: how many documents there will be with later ones; None for these. Only for an encoder.
    """
    if isinstance(source, TokenEmbeddings):
        chunks = token_chunks(source)
        writer.add(documents, chunks, expected=len(documents), sample=lambda: sample_vectors(source))
        return
    texts = [document.text or "" for document in documents]

    def sample() -> FloatArray:
        return source.encode_documents(sample_texts(texts), threads=writer.options.threads).vectors

    fits = sum(map(len, texts)) <= MAX_HELD_CHARACTERS
    chunks = encoded_chunks(source, texts, writer.options)
    writer.add(documents, chunks, expected=expected or len(texts), sample=None if fits else sample)


def encoded_chunks(encoder: Encoder, texts: list[str], options: WriteOptions) -> Iterator[TokenEmbeddings]:
    """Encode texts chunk by chunk, as they are asked for; progress is told for all of them."""
    encode = encoding(encoder, options, len(texts))
    for start in range(0, len(texts), TEXTS_PER_CHUNK):
        yield encode(texts[start : start + TEXTS_PER_CHUNK])


def encoding(encoder: Encoder, options: WriteOptions, total: int) -> Encode:
    """What encodes some texts at a time, and tells the progress of all of them.

    Args:
        encoder: of the index.
        options: threads and progress.
        total: texts there are.
    """
    done = 0

    def encode(texts: list[str]) -> TokenEmbeddings:
        nonlocal done

        def report(here: int, _: int) -> None:
            if options.progress:
                options.progress("encode", done + here, total)

        encoded = encoder.encode_documents(texts, threads=options.threads, progress=report)
        done += len(texts)
        return encoded

    return encode


def token_chunks(vectors: TokenEmbeddings) -> Iterator[TokenEmbeddings]:
    """Cut given vectors between documents into chunks of about ``TOKENS_PER_CHUNK``."""
    begin = 0
    while begin < len(vectors):
        limit = vectors.offsets[begin] + TOKENS_PER_CHUNK
        end = max(begin + 1, int(np.searchsorted(vectors.offsets, limit, side="right")) - 1)
        yield vectors[begin:end]
        begin = end


def sample_vectors(vectors: TokenEmbeddings, most: int = 2_097_152) -> FloatArray:
    """Vectors of randomly chosen documents, about ``most`` of them."""
    if vectors.ntokens <= most:
        return vectors.vectors
    order = np.random.default_rng(0).permutation(len(vectors))
    chosen = np.sort(order[: max(1, int(len(vectors) * most / vectors.ntokens))])
    return np.concatenate([vectors[int(position)] for position in chosen])


def sample_texts(texts: list[str]) -> list[str]:
    """Randomly chosen texts of about ``MAX_HELD_CHARACTERS`` in all."""
    order = np.random.default_rng(0).permutation(len(texts))
    share = MAX_HELD_CHARACTERS / sum(map(len, texts))
    return [texts[position] for position in np.sort(order[: max(1, int(len(texts) * share))])]


def surveyed(documents: Iterable[Document]) -> tuple[int, list[str]]:
    """How many documents there are, and the texts of up to ``SURVEYED``, each as likely as any other."""
    rng, count = random.Random(0), 0
    sample: list[str] = []
    for count, document in enumerate(documents, start=1):
        if len(sample) < SURVEYED:
            sample.append(document.text or "")
        elif (place := rng.randrange(count)) < SURVEYED:
            sample[place] = document.text or ""
    return count, sample


def stored_queries(snapshot: Snapshot, count: int) -> list[FloatArray]:
    """Up to 32 evenly spaced token vectors of each of ``count`` random documents."""
    rng = np.random.default_rng(0)
    total = sum(segment.ndocs for segment in snapshot.segments)
    queries = []
    for segment in snapshot.segments:
        share = min(segment.ndocs, -(-count * segment.ndocs // max(1, total)))
        docs = np.sort(rng.choice(segment.ndocs, size=share, replace=False)).astype(np.uint32)
        for doc in docs:
            vectors, _ = segment.vectors(np.array([doc], dtype=np.uint32))
            places = np.unique(np.linspace(0, len(vectors) - 1, num=min(32, len(vectors))).astype(int))
            queries.append(vectors[places])
    return queries[:count]
