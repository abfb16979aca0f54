"""One vector for each text, of the same pass through the network as its token vectors."""

from __future__ import annotations

import numpy as np
import pytest

from plait.encoder import load_encoder
from plait.errors import CheckpointError, InvalidVectors, NonFiniteVectors
from plait.types import TokenEmbeddings
from tests.encoder.conftest import COLBERT, DIM, ID, TABLE
from tests.encoder.onnx_bytes import tiny_model

TEXTS = ["a b c", "d ! e", "f"]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def expected(tokens: str) -> np.ndarray:
    return unit(TABLE[[ID[token] for token in tokens.split()]].sum(axis=0))


def test_pooled_vectors_come_with_the_token_vectors(tiny):
    with_pooled, without = tiny(pooled_dim=DIM).encode_documents(TEXTS), tiny().encode_documents(TEXTS)
    assert with_pooled.pooled.shape == (3, DIM)
    assert with_pooled.pooled.dtype == np.float32
    np.testing.assert_allclose(with_pooled.pooled[0], expected("[CLS] a b c [SEP]"), atol=1e-6)
    np.testing.assert_array_equal(with_pooled.vectors, without.vectors)
    rows = np.array([ID[token] for token in ["[CLS]", "d", "!", "e", "[SEP]"]])
    seen = TABLE[rows] + 0.25 * TABLE[rows].sum(axis=0)  # what this network makes of each token
    np.testing.assert_allclose(without.pooled[1], unit(seen.mean(axis=0)), atol=1e-6)


def test_what_is_not_kept_takes_part_and_what_is_not_attended_does_not(tiny):
    encoder = tiny(pooled_dim=DIM, **COLBERT)
    document = encoder.encode_documents(["d ! e"])
    assert list(document.doclens) == [5]  # without "!"
    np.testing.assert_allclose(document.pooled[0], expected("[CLS] [D] d ! e [SEP]"), atol=1e-6)
    query = encoder.encode_queries(["a"])
    assert list(query.doclens) == [8]
    np.testing.assert_allclose(query.pooled[0], expected("[CLS] [Q] a [SEP]"), atol=1e-6)


def test_a_text_has_the_same_pooled_vector_in_any_company(builtin):
    texts = ["Paris is the capital of France.", "Bread is baked from flour.", "capital"]
    together = builtin.encode_documents(texts, threads=2)
    for place, text in enumerate(texts):
        np.testing.assert_array_equal(builtin.encode_documents([text]).pooled[0], together.pooled[place])
    scores = builtin.encode_queries(["the French capital"]).pooled @ together.pooled.T
    assert scores.argmax() == 0
    np.testing.assert_allclose(np.linalg.norm(together.pooled, axis=1), 1, atol=1e-6)


def test_a_graph_that_lacks_the_output(folder):
    path = folder(pooled_dim=DIM)
    (path / "model.onnx").write_bytes(tiny_model(TABLE))
    with pytest.raises(CheckpointError, match=r"pooled_dim in encoder.json is 4, so .* but there is none"):
        load_encoder(path)
    with pytest.raises(CheckpointError, match="but there is one of"):
        load_encoder(folder(pooled_dim=DIM + 1))
    with pytest.raises(CheckpointError, match="pooled_dim must be a whole number"):
        load_encoder(folder(pooled_dim=0))


def test_without_one_it_is_the_mean_of_the_token_vectors(tiny):
    found = tiny().encode_documents(TEXTS)
    embeddings = TokenEmbeddings(found.vectors, found.doclens)  # as from an encoder of a user's own
    wanted = unit(np.array([rows.sum(axis=0) for rows in embeddings]))
    np.testing.assert_allclose(embeddings.single_vectors(), wanted, atol=1e-6)
    given = TokenEmbeddings(embeddings.vectors, embeddings.doclens, wanted)
    assert given.single_vectors() is given.pooled


def test_a_text_without_tokens_has_a_vector_of_zeros():
    embeddings = TokenEmbeddings.from_list([np.empty((0, 3)), np.ones((2, 3))])
    np.testing.assert_allclose(embeddings.single_vectors(), [[0, 0, 0], [3**-0.5] * 3], atol=1e-6)


def test_slices_keep_their_pooled_vectors(tiny):
    embeddings = tiny(pooled_dim=DIM).encode_documents(TEXTS)
    np.testing.assert_array_equal(embeddings[1:].pooled, embeddings.pooled[1:])


def test_pooled_vectors_that_do_not_fit():
    vectors, doclens = np.ones((3, 2)), [1, 2]
    with pytest.raises(InvalidVectors, match=r"pooled must be a matrix \[2, d\]"):
        TokenEmbeddings(vectors, doclens, np.ones((3, 2)))
    with pytest.raises(NonFiniteVectors, match=r"the pooled vector of vectors\[1\]"):
        TokenEmbeddings(vectors, doclens, np.array([[1, 0], [np.nan, 0]])).require_finite()
