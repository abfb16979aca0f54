"""ColBERT's rules on a tiny encoder: markers, filling, truncation, skiplist."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.encoder import load_encoder
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import TextTokenizer
from tests.encoder.conftest import COLBERT, ID, expected, tiny_tokenizer


def same(given: np.ndarray, wanted: np.ndarray) -> None:
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, wanted, atol=1e-6)


def test_without_markers_and_filling_a_text_is_its_own_tokens(tiny):
    encoder = tiny()
    same(encoder.encode_queries(["a b"])[0], expected("[CLS] a b [SEP]"))
    same(encoder.encode_documents(["a b !"])[0], expected("[CLS] a b ! [SEP]"))


def test_the_marker_stands_at_position_1(tiny):
    encoder = tiny(query_prefix="[Q]", document_prefix="[D]")
    same(encoder.encode_queries(["a b"])[0], expected("[CLS] [Q] a b [SEP]"))
    same(encoder.encode_documents(["a b"])[0], expected("[CLS] [D] a b [SEP]"))


def test_queries_are_filled_with_masks_that_their_tokens_do_not_see(tiny):
    vectors = tiny(**COLBERT).encode_queries(["a b"])[0]
    assert len(vectors) == 8
    same(vectors, expected("[CLS] [Q] a b [SEP]", unseen="[MASK] [MASK] [MASK]"))


def test_masks_are_seen_when_the_settings_say_so(tiny):
    vectors = tiny(**COLBERT, attend_to_expansion_tokens=True).encode_queries(["a b"])[0]
    same(vectors, expected("[CLS] [Q] a b [SEP] [MASK] [MASK] [MASK]"))


def test_documents_are_never_filled(tiny):
    same(tiny(**COLBERT).encode_documents(["a b"])[0], expected("[CLS] [D] a b [SEP]"))


@pytest.mark.parametrize("text", ["a b c d e", "a b c d e f", "a b c d e f g h i a b"])
def test_a_query_is_cut_to_query_length(tiny, text):
    wanted = expected("[CLS] [Q] a b c d e [SEP]")
    same(tiny(**COLBERT).encode_queries([text])[0], wanted)
    same(tiny(query_prefix="[Q]").encode_queries([text])[0], wanted)


def test_without_a_marker_one_more_token_fits(tiny):
    same(tiny().encode_queries(["a b c d e f g h"])[0], expected("[CLS] a b c d e f [SEP]"))


def test_a_document_is_cut_to_document_length(tiny):
    vectors = tiny(**COLBERT).encode_documents(["a b c d e f g h i a b c"])[0]
    same(vectors, expected("[CLS] [D] a b c d e f g [SEP]"))


def test_skiplist_words_are_seen_but_not_kept_in_documents(tiny):
    encoder = tiny(skiplist_words=["!", "."])
    same(encoder.encode_documents(["a ! b ."])[0], expected("[CLS] a ! b . [SEP]")[[0, 1, 3, 5]])
    same(encoder.encode_queries(["a ! b ."])[0], expected("[CLS] a ! b . [SEP]"))


def test_truncation_counts_skiplist_words(tiny):
    vectors = tiny(**COLBERT).encode_documents(["! ! ! ! ! ! a b"])[0]
    same(vectors, expected("[CLS] [D] ! ! ! ! ! ! a [SEP]")[[0, 1, 8, 9]])


def test_unknown_words_stay_though_a_skiplist_symbol_is_unknown_too(tiny):
    assert "~" not in ID
    vectors = tiny(**COLBERT).encode_documents(["a zebra ~ !"])[0]
    same(vectors, expected("[CLS] [D] a [UNK] [UNK] ! [SEP]")[[0, 1, 2, 3, 4, 6]])


def test_a_document_of_punctuation_keeps_its_special_tokens(tiny):
    vectors = tiny(**COLBERT).encode_documents(["!.,"])[0]
    same(vectors, expected("[CLS] [D] ! . , [SEP]")[[0, 1, 5]])


def test_words_that_are_cut_in_pieces_and_words_beyond_ascii(tiny):
    same(tiny().encode_documents(["BAa été 東"])[0], expected("[CLS] b ##a ##a [UNK] [UNK] [SEP]"))
    same(tiny().encode_documents(["aaa À"])[0], expected("[CLS] a ##a ##a a [SEP]"))


def test_vectors_keep_their_length_when_they_are_not_normalised(tiny):
    same(tiny(normalise=False).encode_queries(["a b"])[0], expected("[CLS] a b [SEP]", normalise=False))


def test_texts_of_different_lengths_in_one_call(tiny):
    found = tiny(**COLBERT).encode_documents(["a", "a b c", "!", "a b c d e f g h i"])
    assert found.doclens.tolist() == [4, 6, 3, 10]
    assert found.dim == 4


def test_the_graph_may_take_token_type_ids(folder):
    from tests.encoder.conftest import TABLE
    from tests.encoder.onnx_bytes import tiny_model

    path = folder()
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    (path / "model.onnx").write_bytes(tiny_model(TABLE, inputs))
    same(load_encoder(path).encode_queries(["a b"])[0], expected("[CLS] a b [SEP]"))


@pytest.fixture(scope="module")
def cutter(tmp_path_factory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("cutter") / "tokenizer.json"
    tiny_tokenizer().save(str(path))
    return TextTokenizer(path, EncoderSettings(name="t", dim=1, query_length=5, document_length=9))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("aab!.-  \n\t\u00a0éz\u0301東\u200b"), max_size=400))
def test_a_long_text_is_cut_as_if_all_of_it_had_been_read(cutter, text):
    for length, found in ((5, cutter.query(text)), (9, cutter.document(text))):
        whole = tiny_tokenizer()
        whole.enable_truncation(length)
        assert found.ids.tolist() == whole.encode(text).ids


def test_a_very_long_text_is_not_read_to_its_end(cutter, monkeypatch):
    lengths: list[int] = []

    class Spy:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def encode(self, text, **options):
            lengths.append(len(text))
            return self.inner.encode(text, **options)

    monkeypatch.setattr(cutter, "_tokenizer", Spy(cutter._tokenizer))
    assert len(cutter.document("a b c " * 1_000_000).ids) == 9
    assert max(lengths) < 1000


def test_a_checkpoint_may_leave_the_tokeniser_set_to_pad_and_truncate(folder):
    path = folder()
    values = tiny_tokenizer()
    values.enable_truncation(4)
    values.enable_padding(length=16)
    values.save(str(path / "tokenizer.json"))
    assert json.loads((path / "tokenizer.json").read_text())["truncation"] is not None
    same(load_encoder(path).encode_documents(["a b c d"])[0], expected("[CLS] a b c d [SEP]"))
