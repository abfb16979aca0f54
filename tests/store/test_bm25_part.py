"""BM25's arrays on the disk: checked, verified, repaired, backed up, and added to indexes without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import errors
from plait.store import format as layout
from plait.store import verify
from tests.conftest import clustered
from tests.hostile.judge import forge

GOLDEN = Path(__file__).parents[1] / "golden"
ARRAYS = [
    f"bm25_{name}"
    for name in (
        "doclens",
        "terms",
        "term_ends",
        "list_ends",
        "docs",
        "tfs",
        "block_tfs",
        "block_doclens",
    )
]
WORDS = [f"word{number}" for number in range(40)]
QUERY = "word1 word2 word30 größe"

Answer = list[tuple[str, int, float]]


def texts_of(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 30)).tolist()) + " Größe" for _ in range(count)]


def answer(index: plait.Index) -> Answer:
    return [tuple(hit) for hit in index.search_bm25(QUERY, 200)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments, with tombstones in the first."""
    path = tmp_path_factory.mktemp("bm25") / "index"
    with plait.Index.create(path, dim=8, bm25=True, auto_compact=False) as index:
        index.add(vectors=clustered(150, dim=8), texts=texts_of(150))
        index.add(vectors=clustered(50, dim=8), texts=texts_of(50, 1), ids=[f"b{n}" for n in range(50)])
        index.delete([str(number) for number in range(0, 150, 7)])
    return path


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


@pytest.mark.parametrize("name", ARRAYS)
def test_damage_is_named_and_repaired_from_the_texts(copy: Path, name: str, tmp_path: Path):
    with plait.Index.open(copy) as index:
        before = answer(index)
    path = copy / "segments" / "000001" / f"{name}.npy"
    data = bytearray(path.read_bytes())
    data[128] ^= 1
    path.write_bytes(data)
    with pytest.raises(errors.IndexCorrupt, match=f"{name}.npy"), plait.Index.open(copy) as index:
        answer(index)
    assert any(name in problem.path for problem in verify(copy))
    report = plait.Index.repair(copy, tmp_path / "repaired")
    assert any(f"{name}.npy" in damage for damage in report.damage)
    assert not report.lost
    with plait.Index.open(tmp_path / "repaired") as index:
        assert answer(index) == before
        assert not index.verify()


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_or_truncated_file_is_named(copy: Path, name: str):
    path = copy / "segments" / "000002" / f"{name}.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    with pytest.raises(errors.IndexCorrupt, match=f"{name}.npy"):
        plait.Index.open(copy)
    path.unlink()
    with pytest.raises(errors.IndexCorrupt, match=f"{name}.npy: is missing"):
        plait.Index.open(copy)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("how", [{"value": 0}, {"value": -1}, {"value": 77}, {"seed": 1}, {"seed": 2}])
def test_forged_arrays_are_errors_or_harmless(copy: Path, name: str, how: dict[str, int]):
    """Somebody means harm: the checksums are right. Searches, merges and verification end as they should."""
    forge(copy, {"file": f"segments/000001/{name}.npy", **how})
    assert name in ("bm25_terms",) or verify(copy)
    try:
        with plait.Index.open(copy) as index:
            for _, rank, score in answer(index):
                assert rank >= 1
                assert np.isfinite(score)
            index.compact()
            answer(index)
    except errors.IndexCorrupt as error:
        assert "segments" in str(error)


def test_a_backup_holds_the_words(copy: Path, tmp_path: Path):
    with plait.Index.open(copy) as index:
        index.backup(tmp_path / "backup")
        before = answer(index)
    with plait.Index.open(tmp_path / "backup") as index:
        assert answer(index) == before
        assert not index.verify()


def test_segments_are_rewritten_when_a_codec_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plait.store.choice.MIN_CODEC_TOKENS", 500)
    texts = texts_of(60)
    with plait.Index.create(tmp_path / "index", dim=8, bm25=True) as index:
        index.add(vectors=clustered(10, dim=8), texts=texts[:10])
        index.delete("3")
        index.add(vectors=clustered(50, dim=8, seed=1), texts=texts[10:], ids=[f"b{n}" for n in range(50)])
        assert index.stats().centroids
        assert not index.verify()
        found = answer(index)
    with plait.Index.create(tmp_path / "fresh", dim=8, bm25=True) as fresh:
        ids = [*(str(n) for n in range(10) if n != 3), *(f"b{n}" for n in range(50))]
        fresh.add(vectors=clustered(59, dim=8), texts=[*texts[:3], *texts[4:]], ids=ids)
        assert answer(fresh) == found


@pytest.mark.parametrize("name", ["v1-exact", "v1-residual", "v2-living", "v2-scaled"])
def test_older_indexes_get_bm25_when_it_is_asked_for(name: str, tmp_path: Path):
    path = Path(shutil.copytree(GOLDEN / name, tmp_path / name))
    with plait.Index.open(path) as index, plait.Index.open(path) as reader:
        query = next(index.documents()).text
        vectors = clustered(1, dim=12, seed=4)[0]
        before = [tuple(hit) for hit in index.search(vectors, 60)]
        with pytest.raises(errors.PartMissing, match=r"add_bm25\(\)"):
            index.search_bm25("text 5")
        index.add(vectors=clustered(1, dim=12), texts=["new"], ids=["new"])
        index.delete("new")
        assert index.stats().format_version < layout.FORMAT_VERSION
        index.add_bm25(plait.BM25(stemming=False))
        assert index.stats().format_version == layout.FORMAT_VERSION
        assert index.search_bm25("5")[0].id == "5"
        assert len(reader.search_bm25(query, 100)) == 39
        assert [tuple(hit) for hit in index.search(vectors, 60)] == before
        assert not index.verify()
        assert index.stats().bm25 == "words"
        with pytest.raises(errors.InvalidParameter, match="has BM25 already"):
            index.add_bm25()


def test_an_index_of_one_kind_takes_part_in_nothing_of_the_other(made: Path, tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=8) as index:
        index.add(vectors=clustered(5, dim=8), texts=texts_of(5))
        assert index.stats().bytes_bm25 is None
        assert index.stats().bm25 is None
        assert not [*(tmp_path / "index").rglob("bm25_*")]
    with plait.Index.open(made) as index:
        stats = index.stats()
    files = [path.stat().st_size for path in made.rglob("bm25_*")]
    assert (stats.bm25, stats.bytes_bm25) == ("english", sum(files))


@pytest.mark.parametrize(
    "setting",
    ["3", "[]", '{"language": "english"}', '{"language": "klingon", "stemming": true, "stopwords": [],'
     ' "k1": 1, "b": 1}', '{"language": null, "stemming": true, "stopwords": "no", "k1": 1, "b": 1}'],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(copy: Path, setting: str):
    import sqlite3

    with sqlite3.connect(copy / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE setting SET value = ? WHERE key = 'bm25'", (setting,))
    catalog.close()
    with pytest.raises(errors.IndexCorrupt, match="the setting bm25"):
        plait.Index.open(copy)
    assert any("the setting bm25" in problem.reason for problem in verify(copy))
