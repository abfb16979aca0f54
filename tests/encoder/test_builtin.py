"""The built-in encoder: finds, is deterministic, refuses what it can't encode."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from plait.encoder import load_encoder
from plait.encoder.checkpoint import BUILTIN
from plait.errors import EmptyText, InvalidParameter

PASSAGES = [
    "Paris is the capital and the largest city of France.",
    "Berlin has been the capital of Germany since 1990.",
    "Mitochondria produce most of the chemical energy that a cell needs.",
    "Bread dough rises because yeast turns sugar into carbon dioxide.",
    "The spleen filters blood and stores platelets.",
    "A transformer changes the voltage of an alternating current.",
    "Penguins breed on the Antarctic coast in winter.",
]
QUESTIONS = {
    "What is the capital of France?": 0,
    "german capital city": 1,
    "how do cells get energy": 2,
    "why does dough rise": 3,
    "which organ cleans the blood": 4,
    "device to step down mains voltage": 5,
    "where do penguins have their young": 6,
}
LENGTHS = [PASSAGES[n % 7] + " and so on" * (n * 5 % 60) for n in range(12)]


def test_the_right_passage_comes_first(builtin):
    documents = builtin.encode_documents(PASSAGES)
    for query, right in zip(builtin.encode_queries(list(QUESTIONS)), QUESTIONS.values(), strict=True):
        scores = [(query @ document.T).max(axis=1).sum() for document in documents]
        assert int(np.argmax(scores)) == right


def test_vectors_are_f32_of_unit_length(builtin):
    for found in (builtin.encode_documents(LENGTHS), builtin.encode_queries(PASSAGES)):
        assert found.vectors.dtype == np.float32
        assert found.dim == builtin.dim == builtin.settings.dim
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3, 8, None])
def test_same_bits_alone_in_any_company_and_on_any_number_of_threads(builtin, threads):
    for encode in (builtin.encode_documents, builtin.encode_queries):
        together = encode(LENGTHS, threads=threads)
        backwards = encode(LENGTHS[::-1], threads=threads)
        for place in (0, 5, 11):
            alone = encode([LENGTHS[place]])
            assert np.array_equal(together[place], alone.vectors)
            assert np.array_equal(backwards[11 - place], alone.vectors)


def test_same_bits_when_several_callers_share_it(builtin):
    wanted = builtin.encode_documents(LENGTHS, threads=1).vectors
    found: dict[int, np.ndarray] = {}

    def encode(place: int) -> None:
        found[place] = builtin.encode_documents(LENGTHS, threads=2).vectors

    callers = [threading.Thread(target=encode, args=(place,)) for place in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all(np.array_equal(found[place], wanted) for place in range(3))


def test_same_bits_in_another_process(builtin):
    code = (
        "import sys, plait.encoder as e\n"
        "sys.stdout.buffer.write(e.load_encoder().encode_documents(sys.argv[1:]).vectors.tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code, *PASSAGES], capture_output=True, check=True)
    assert other.stdout == builtin.encode_documents(PASSAGES).vectors.tobytes()


def test_documents_are_cut_to_document_length(builtin):
    found = builtin.encode_documents(["word " * 5000])
    assert found.doclens.tolist() == [builtin.settings.document_length]
    found = builtin.encode_queries(["word " * 5000])
    assert found.doclens.tolist() == [builtin.settings.query_length]


def test_no_texts_give_no_vectors(builtin):
    found = builtin.encode_documents([])
    assert found.vectors.shape == (0, builtin.dim)
    assert len(found) == 0


@pytest.mark.parametrize("text", ["", " ", "\n\t \u00a0"])
def test_an_empty_text_is_refused_by_its_position(builtin, text):
    with pytest.raises(EmptyText, match=r"texts\[2\] is empty"):
        builtin.encode_documents(["a", "b", text])
    with pytest.raises(EmptyText, match=r"queries\[0\] is empty"):
        builtin.encode_queries([text])


@pytest.mark.parametrize(
    "text", ["!", "...", "\u200b", "\x00", "東京", "😀", "e\u0301", "[SEP]", "x" * 10_000]
)
def test_odd_texts_give_at_least_one_vector(builtin, text):
    for encode in (builtin.encode_documents, builtin.encode_queries):
        found = encode([text])
        assert found.ntokens >= 1
        assert np.isfinite(found.vectors).all()


@pytest.mark.parametrize("texts", ["a text", b"bytes", 3, None])
def test_texts_must_be_a_list(builtin, texts):
    with pytest.raises(InvalidParameter, match="list of strings"):
        builtin.encode_documents(texts)


def test_each_text_must_be_a_string_of_valid_unicode(builtin):
    with pytest.raises(InvalidParameter, match=r"texts\[1\] must be a string, not int"):
        builtin.encode_documents(["a", 3])
    with pytest.raises(InvalidParameter, match=r"texts\[1\] is not valid Unicode"):
        builtin.encode_documents(["a", "\ud800"])


def test_threads_must_be_at_least_1(builtin):
    with pytest.raises(InvalidParameter, match="threads"):
        builtin.encode_documents(["a", "b"], threads=0)


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_counts_up_to_the_total(builtin, threads):
    calls: list[tuple[int, int]] = []
    builtin.encode_documents(PASSAGES, threads=threads, progress=lambda *numbers: calls.append(numbers))
    assert calls == [(done, 7) for done in range(1, 8)]


def test_the_fingerprint_is_that_of_the_files(builtin, folder, tmp_path):
    assert builtin.fingerprint == load_encoder(BUILTIN).fingerprint
    assert len(builtin.fingerprint) == 64
    first = load_encoder(folder()).fingerprint
    assert first == load_encoder(folder()).fingerprint
    assert first not in {builtin.fingerprint, load_encoder(folder(query_length=7)).fingerprint}


def test_the_model_is_small_and_says_where_it_comes_from():
    assert sum(file.stat().st_size for file in BUILTIN.iterdir()) <= 25_000_000
    assert "Apache" in (BUILTIN / "NOTICE").read_text()
    assert "all-MiniLM-L6-v2" in (BUILTIN / "MODEL_CARD.md").read_text()


def test_importing_the_encoder_loads_no_runtime():
    code = (
        "import sys, plait.encoder\n"
        "assert not {'onnxruntime', 'tokenizers', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
