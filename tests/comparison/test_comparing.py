"""Methods compared from end to end, on real abstracts with an encoder that needs no time."""

import json

import numpy as np
import pytest

import plait
from plait.comparison import METHODS, building
from plait.errors import InvalidParameter
from plait.evaluate import evaluate, run_of
from plait.types import TokenEmbeddings

from .conftest import LengthScorer, WordEncoder


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison") / "work"


@pytest.fixture(scope="module")
def report(abstracts, judged, work):
    """All methods, with a work folder that later tests use again."""
    return plait.compare(
        abstracts,
        *judged,
        model=WordEncoder(),
        cross_encoder=LengthScorer(),
        work=work,
        threads=1,
        name="abstracts",
    )


def test_every_method_is_measured(report, abstracts):
    assert [method.name for method in report.methods][: len(METHODS)] == list(METHODS)
    assert len(report.methods) == len(METHODS) + 3
    assert (report.baseline, report.ndocs) == ("BM25", len(abstracts))
    for method in report.methods:
        latency = method.latency
        assert 0 < latency.p50_encoded <= latency.p50 <= latency.p95
        assert latency.cpu_p50 > 0
        assert method.queries_per_second > 0
        assert method.build_seconds > 0
        assert method.build_cpu_seconds > 0
        assert 0 <= method.values["nDCG@10"] <= 1
        assert len(method.run) == len(report.queries)
    assert set(report.comparisons) == {method.name for method in report.methods[1:]}


def test_figures_are_those_of_the_index_itself(report, abstracts, judged, tmp_path):
    queries, qrels = judged
    with plait.Index.create(tmp_path / "index", WordEncoder()) as index:
        index.add([one.text for one in abstracts], ids=[one.id for one in abstracts])
        runs = {
            "ColBERT": run_of(queries, index.search_all(list(queries.values()), 100)),
            "BM25": run_of(queries, (index.search_bm25(text, 100) for text in queries.values())),
            "bi-encoder": run_of(queries, (index.search_bi_encoder(text, 100) for text in queries.values())),
        }
    shown = {method.name: method for method in report.methods}
    for name, run in runs.items():
        assert shown[name].values == evaluate(qrels, run), name
        assert shown[name].run == run, name


def test_exact_is_exact(report, abstracts, judged):
    encoder = WordEncoder()
    documents = encoder.encode_documents([one.text for one in abstracts])
    exact = next(method for method in report.methods if method.name == "exact MaxSim")
    for key, text in list(judged[0].items())[:5]:
        query = encoder.encode_queries([text])[0]
        scores = {one.id: plait.maxsim(query, rows) for one, rows in zip(abstracts, documents, strict=True)}
        best = sorted(scores, key=lambda document: -scores[document])[:100]
        assert list(exact.run[key].values()) == pytest.approx([scores[one] for one in best], abs=1e-5)
    colbert = next(method for method in report.methods if method.name == "ColBERT")
    assert colbert.values == exact.values, "a small index is exact"


def test_sizes_are_of_what_a_method_reads(report):
    sizes = {method.name: method.bytes_per_document for method in report.methods}
    words, single, tokens = sizes["BM25"], sizes["bi-encoder"], sizes["ColBERT"]
    assert 0 < words < tokens
    assert 0 < single < tokens
    assert sizes["BM25 + bi-encoder"] == pytest.approx(words + single)
    assert sizes["BM25 + bi-encoder > ColBERT"] == pytest.approx(words + single + tokens)
    assert sizes["exact MaxSim"] > 16 * 4 * 50, "about sixty f32 vectors of 16 components"
    built = {method.name: method.build_seconds for method in report.methods}
    assert built["ColBERT"] == built["BM25 > ColBERT"] > built["bi-encoder"]


def test_stages_are_timed(report):
    stages = next(one.stages for one in report.methods if one.name == "BM25 + bi-encoder > ColBERT")
    assert set(stages) == {"encode", "bm25", "bi_encoder", "rrf", "colbert"}


class Unused:
    """An encoder for which everything is known already."""

    dim, name, fingerprint = WordEncoder.dim, WordEncoder.name, WordEncoder.fingerprint

    def encode_queries(self, texts, **options):
        raise AssertionError("queries are encoded again")

    encode_documents = encode_queries


def test_what_was_measured_is_used_again(report, abstracts, judged, work):
    again = plait.compare(
        abstracts,
        *judged,
        methods=["colbert", "bm25"],
        metrics=["MRR@10", "Recall@100"],
        model=Unused(),
        work=work,
        threads=1,
    )
    before = {method.name: method for method in report.methods}
    for method in again.methods:
        assert method.latency == before[method.name].latency
        assert method.values["MRR@10"] == before[method.name].values["MRR@10"]
    assert (again.baseline, again.metrics) == ("ColBERT", ["MRR@10", "Recall@100"])


def test_a_work_folder_belongs_to_one_corpus(report, abstracts, judged, work, tmp_path):
    with pytest.raises(InvalidParameter, match="holds a comparison with another corpus"):
        plait.compare(abstracts[:-1], *judged, model=WordEncoder(), work=work)
    with pytest.raises(InvalidParameter, match="with another level"):
        plait.compare(abstracts, *judged, model=WordEncoder(), level="compact", work=work)
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(InvalidParameter, match="not empty, and no work folder"):
        plait.compare(abstracts, *judged, model=WordEncoder(), work=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


class Interrupted(WordEncoder):
    """Stops after so many texts."""

    def __init__(self, texts: int) -> None:
        self.left = texts

    def encode_documents(self, texts, **options) -> TokenEmbeddings:
        self.left -= len(texts)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().encode_documents(texts)


@pytest.mark.parametrize("exact", [False, True])
def test_a_build_that_was_cut_off_goes_on(abstracts, judged, tmp_path, monkeypatch, exact):
    monkeypatch.setattr(building, "COMMITTED", 40)
    monkeypatch.setattr(building, "ENCODED", 40)
    monkeypatch.setattr("plait.ingest.SURVEYED", 10)
    asked = {"methods": ["colbert"], "work": tmp_path / "work", "exact": exact, "threads": 1}
    asked["methods"] = [*asked["methods"], *(["exact"] if exact else [])]
    with pytest.raises(KeyboardInterrupt):
        plait.compare(abstracts, *judged, model=Interrupted(100), **asked)
    shown = plait.compare(abstracts, *judged, model=WordEncoder(), **asked)
    whole = plait.compare(abstracts, *judged, model=WordEncoder(), methods=["colbert"], threads=1)
    assert shown.methods[0].values == whole.methods[0].values
    assert (shown.methods[0].build_seconds is None) == (not exact), "a part of it is not known"


def test_words_alone_need_no_encoding(report, abstracts, judged, tmp_path):
    given = {"methods": ["bm25"], "model": Interrupted(0), "work": tmp_path / "work", "threads": 1}
    shown, again = (plait.compare(abstracts, *judged, **given) for _ in range(2))
    before = report.methods[0]
    for one in (shown.methods[0], again.methods[0]):
        assert (one.name, one.run, one.values) == ("BM25", before.run, before.values)
        assert one.bytes_per_document == pytest.approx(before.bytes_per_document, rel=0.05)
        assert one.build_seconds > 0


def test_known_items_from_end_to_end(abstracts, tmp_path):
    shown = plait.compare(
        abstracts, model=WordEncoder(), methods=["bm25", "colbert"], made_queries=20, threads=1
    )
    assert "20 known-item queries were made, each the title of a document" in shown.known_items
    assert shown.methods[0].values["Recall@100"] > 0.5
    shown.write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["limits"]


def test_exact_is_left_out_where_it_does_not_fit(abstracts, judged, monkeypatch):
    monkeypatch.setattr("plait.comparison.comparing.MOST_EXACT_BYTES", 1000)
    monkeypatch.setattr("plait.comparison.methods.METHODS", {"exact MaxSim": "exact:100", "BM25": "bm25:100"})
    given = {"model": WordEncoder(), "threads": 1}
    shown = plait.compare(abstracts, *judged, **given)
    assert [method.name for method in shown.methods] == ["BM25"]
    assert "Exact MaxSim is left out: the original vectors would take about" in shown.notes[-1]
    shown = plait.compare(abstracts, *judged, exact=True, **given)
    assert [method.name for method in shown.methods] == ["exact MaxSim", "BM25"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metrics": ["nDGC@10"]}, "can't compute the metric"),
        ({"methods": ["bm25:10 > tfidf:5"]}, "tfidf"),
        ({"baseline": "tfidf"}, "the baseline 'tfidf' is none of BM25"),
        ({"methods": ["bm25 > cross"]}, "needs a cross-encoder"),
        ({"level": "tiny"}, "tiny"),
    ],
)
def test_wrong_values_are_found_before_the_long_work(abstracts, judged, given, message):
    with pytest.raises(InvalidParameter, match=message):
        plait.compare(abstracts, *judged, model=Interrupted(0), **given)


def test_scores_of_the_word_encoder_are_cosines():
    assert np.allclose(np.linalg.norm(WordEncoder().encode_queries(["a b"]).vectors, axis=1), 1)
