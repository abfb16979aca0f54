"""An index measures what its searches find, and looks as far as a target takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import plait
from plait import SearchParams, errors
from plait.search.calibration import Calibration
from tests.conftest import clustered

DOCUMENTS = clustered(3000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibrated") / "index"
    with plait.Index.create(path, dim=32) as index:
        index.add(vectors=DOCUMENTS)
    return path


def share(index: plait.Index, target: float, k: int = 10) -> float:
    found = []
    for n in range(0, 3000, 50):
        truth = {hit.id for hit in index.search(DOCUMENTS[n], k, params=SearchParams(scan=True))}
        found.append(len(truth & {hit.id for hit in index.search(DOCUMENTS[n], k, recall_target=target)}) / k)
    return float(np.mean(found))


def test_adding_measures(made: Path):
    with plait.Index.open(made) as index:
        assert share(index, 0.9) >= 0.88
        assert share(index, 1.0) == 1.0
        assert share(index, 0.9, k=50) >= 0.88


def test_search_all_takes_a_target_too(made: Path):
    with plait.Index.open(made) as index:
        queries = [DOCUMENTS[n] for n in range(5)]
        assert index.search_all(queries, 3, recall_target=0.95) == [
            index.search(query, 3, recall_target=0.95) for query in queries
        ]


@pytest.mark.parametrize("target", [0, -0.5, 1.5, float("nan"), "high", True])
def test_targets_are_shares(made: Path, target):
    with plait.Index.open(made) as index, pytest.raises(errors.InvalidParameter, match="recall_target"):
        index.search(DOCUMENTS[0], recall_target=target)


def test_a_target_and_parameters_contradict(made: Path):
    with plait.Index.open(made) as index, pytest.raises(errors.InvalidParameter, match="not both"):
        index.search(DOCUMENTS[0], recall_target=0.9, params=SearchParams())


def test_an_index_that_was_never_measured_does_what_it_can(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(vectors=DOCUMENTS[:20])
        hits = index.search(DOCUMENTS[3], 5)
        assert index.search(DOCUMENTS[3], 5, recall_target=0.5) == hits
        assert index.search(DOCUMENTS[3], 5, recall_target=1) == hits


def test_measuring_on_own_queries_is_kept(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(vectors=DOCUMENTS[:1500])
        index.calibrate([DOCUMENTS[n] for n in range(7)])
        with pytest.raises(errors.InvalidParameter, match="no queries"):
            index.calibrate([])
    with plait.Index.open(tmp_path / "index") as index:
        assert index.stats().calibrated_on == 1500
        index.delete([str(n) for n in range(100)])
        assert len(index.search(DOCUMENTS[120], 10, recall_target=0.9)) == 10


def test_the_least_effort_that_reached_the_target_is_taken():
    measured = Calibration(1000, 10, {10: [(0.5, 0.8), (1.0, 0.95)], 100: [(0.5, 0.6), (1.0, 0.9)]})
    assert measured.params(10, 1000, 0.8) == SearchParams.for_k(10, 1000, 0.5)
    assert measured.params(10, 1000, 0.9) == SearchParams.for_k(10, 1000, 1.0)
    assert measured.params(50, 1000, 0.8) == SearchParams.for_k(50, 1000, 1.0)
    assert measured.params(10, 1000, 0.99) == SearchParams(scan=True)
    assert Calibration.from_json(measured.as_json()) == measured


@pytest.mark.parametrize("value", [None, 3, {}, {"curves": 1}, {"curves": {"x": []}, "documents": 1}])
def test_a_setting_that_is_none_counts_as_not_measured(value):
    assert Calibration.from_json(value) is None
