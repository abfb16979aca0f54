"""A filter loses no recall, whatever share of the documents matches: on the bundled Cranfield collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import plait
from plait import search as engine
from plait.sources import read_documents, read_queries

CRANFIELD = Path(__file__).parents[2] / "examples" / "cranfield"


@pytest.fixture(scope="module", params=[{"level": "balanced"}, {"level": "compact"}, {"nbits": 2}], ids=str)
def cranfield(request, embeddings, tmp_path_factory) -> plait.Index:
    places = np.random.default_rng(0).permutation(len(embeddings)).tolist()
    path = tmp_path_factory.mktemp("cranfield") / "index"
    with plait.Index.create(path, dim=embeddings.dim, fields={"place": int}, **request.param) as index:
        index.add(
            vectors=embeddings, metadata=[{"place": place, "other": {"place": place}} for place in places]
        )
        yield index


@pytest.fixture(scope="module")
def embeddings() -> plait.TokenEmbeddings:
    texts = [document.text for document in read_documents(CRANFIELD, skip_bad_lines=True)]
    return plait.load_encoder().encode_documents(texts)


@pytest.fixture(scope="module")
def queries() -> list[np.ndarray]:
    texts = list(read_queries(CRANFIELD).values())[::5]
    return list(plait.load_encoder().encode_queries(texts))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 0.0])
def test_recall_among_the_documents_that_match(cranfield, queries, share):
    """Beside a scan of the same codes, in f32, of which only matching documents are kept."""
    limit = max(1, round(share * len(cranfield)))
    filter = {"other": {"place": {"$lt": limit}}}
    matching = set(cranfield.ids(filter={"place": {"$lt": limit}}))
    assert len(matching) == cranfield.count(filter) == limit
    with cranfield._reading() as snapshot:
        rankings = [
            [str(pid - 1) for pid, _ in ranking]
            for ranking in engine.scan_batch(snapshot, queries, snapshot.ndocs)
        ]
    overlaps = []
    for query, ranking in zip(queries, rankings, strict=True):
        truth = [key for key in ranking if key in matching][:10]
        found = [hit.id for hit in cranfield.search(query, 10, filter=filter)]
        assert len(set(found)) == min(10, limit)
        assert set(found) <= matching
        overlaps.append(len(set(found) & set(truth)) / len(truth))
    assert np.mean(overlaps) >= 0.97
