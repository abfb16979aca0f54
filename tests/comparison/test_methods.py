"""Methods are found by their names, and wrong ones are refused before any work."""

import pytest

from plait.comparison import CROSS_ENCODER_METHODS, METHODS
from plait.comparison.methods import Method, chosen_methods
from plait.errors import InvalidParameter


def test_all_methods():
    assert [method.name for method in chosen_methods(None, False)] == list(METHODS)
    assert len(chosen_methods(None, True)) == len(METHODS) + len(CROSS_ENCODER_METHODS)
    for method in chosen_methods(None, True):
        method.require_readable()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("bm25", "BM25"),
        ("BI-ENCODER", "bi-encoder"),
        ("bi", "bi-encoder"),
        ("colbert", "ColBERT"),
        ("exact", "exact MaxSim"),
        ("Exact MaxSim", "exact MaxSim"),
        ("bm25>colbert", "BM25 > ColBERT"),
        ("bm25:1000>colbert:100", "BM25 > ColBERT"),
        ("bm25+bi > colbert", "BM25 + bi-encoder > ColBERT"),
        ("bm25:50 > colbert:5", "bm25:50 > colbert:5"),
    ],
)
def test_names(given, name):
    (method,) = chosen_methods([given], False)
    assert method.name == name
    method.require_readable()


def test_what_a_method_reads():
    assert Method("x", "rrf(bm25:10, bi_encoder:10):5 > colbert:5").needs == {"bm25", "bi_encoder", "colbert"}
    assert Method("x", "exact:100 > cross:10").needs == {"exact", "cross_encoder"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["bm25", "BM25"], "named twice"),
        (["bm25:100 > cross:10"], "needs a cross-encoder"),
        ([], "name at least one method"),
    ],
)
def test_wrong_names(given, message):
    with pytest.raises(InvalidParameter, match=message):
        chosen_methods(given, False)


@pytest.mark.parametrize("pipeline", ["tfidf:100", "bm25", "bm25:0", "bm25:10 > tfidf:3", "bm25:10 >"])
def test_pipelines_that_can_not_be_read(pipeline):
    with pytest.raises(InvalidParameter):
        Method("x", pipeline).require_readable()
