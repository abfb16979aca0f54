"""BM25's kernels equal their twins bit for bit, at any size, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.kernels import _native, reference_bm25
from plait.store import postings

ISAS = _native.available_isas()
SEEDS = st.integers(0, 2**32)


def segment(rng: np.random.Generator, ndocs: int, nterms: int, nbytes: int, most: int) -> dict[str, Any]:
    """Lists of random documents, some long and some short."""
    lists = [np.flatnonzero(rng.random(ndocs) < share) for share in rng.random(nterms) ** 3]
    docs = np.concatenate([np.empty(0, dtype=np.int64), *lists]).astype(np.uint32)
    ends = np.cumsum([len(one) for one in lists], dtype=np.int64)
    tfs = np.minimum(rng.geometric(0.5, size=len(docs)), most).astype(np.uint32)
    doclens = rng.integers(0, 30, size=ndocs).astype(np.uint32)
    doclens += np.bincount(docs, weights=tfs, minlength=ndocs).astype(np.uint32)
    kind = np.uint8 if most < 256 else np.uint16 if most < 65536 else np.uint32
    # Lists without a posting are not written; here they are, to be met.
    largest, smallest = _bounds(ends, docs, tfs, doclens)
    return {
        "docs": postings.narrowed(docs, nbytes),
        "tfs": tfs.astype(kind),
        "doclens": doclens,
        "block_tfs": largest.astype(kind),
        "block_doclens": smallest,
        "ends": ends,
    }


def _bounds(ends: np.ndarray, docs: np.ndarray, tfs: np.ndarray, doclens: np.ndarray) -> Any:
    slots = postings.slots(len(docs), len(ends))
    largest, smallest = np.zeros(slots, dtype=np.uint32), np.zeros(slots, dtype=np.uint16)
    for term, end in enumerate(ends.tolist()):
        begin = int(ends[term - 1]) if term else 0
        for block, start in enumerate(range(begin, end, postings.BLOCK)):
            some = slice(start, min(end, start + postings.BLOCK))
            slot = postings.slots(begin, term) + block
            largest[slot] = tfs[some].max()
            smallest[slot] = min(0xFFFF, doclens[docs[some]].min())
    return largest, smallest


def question(made: dict[str, Any], terms: list[int], weights: np.ndarray, **more: Any) -> tuple[Any, ...]:
    ends = made["ends"]
    begins = np.array([ends[term - 1] if term else 0 for term in terms], dtype=np.int64)
    slots = [postings.slots(begin, term) for begin, term in zip(begins.tolist(), terms, strict=True)]
    arrays = (made[name] for name in ("docs", "tfs", "doclens", "block_tfs", "block_doclens"))
    how = {"k1": 0.9, "b": 0.4, "average": 20.0, "mask": None, "k": 10, "floor": 0.0} | more
    found = np.array(slots, dtype=np.int64)
    stops = np.array([ends[term] for term in terms], dtype=np.int64)
    return (*arrays, begins, stops, found, weights, *how.values())


def same(found: Any, twin: Any) -> None:
    np.testing.assert_array_equal(found[0], twin[0])
    np.testing.assert_array_equal(found[1], twin[1])
    assert (found[0].dtype, found[1].dtype) == (np.uint32, np.float32)


@given(
    seed=SEEDS,
    ndocs=st.sampled_from([0, 1, 5, 300, 9000, 30_000]),
    nterms=st.integers(0, 8),
    nbytes=st.sampled_from([2, 3, 4]),
    most=st.sampled_from([1, 3, 200, 70_000]),
    k=st.sampled_from([1, 3, 10, 200, 10**9]),
    k1=st.sampled_from([0.0, 0.9, 2.0]),
    b=st.sampled_from([0.0, 0.4, 1.0]),
    share=st.sampled_from([None, 0.0, 0.01, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_top_bm25(
    seed: int,
    ndocs: int,
    nterms: int,
    nbytes: int,
    most: int,
    k: int,
    k1: float,
    b: float,
    share: float | None,
):
    rng = np.random.default_rng(seed)
    made = segment(rng, ndocs, nterms, nbytes, most)
    terms = rng.permutation(nterms).tolist()
    weights = rng.random(nterms) * rng.integers(1, 9, size=nterms)
    mask = None if share is None else (rng.random(ndocs) < share).astype(np.uint8)
    asked = question(made, terms, weights, k=k, k1=k1, b=b, mask=mask)
    twin = reference_bm25.top_bm25(*asked)
    for isa in ISAS:
        same(_native.kernels(isa).top_bm25(*asked), twin)
    if len(twin[1]) > 2:
        floor = float(twin[1][len(twin[1]) // 2])
        asked = question(made, terms, weights, k=k, k1=k1, b=b, mask=mask, floor=floor)
        twin = reference_bm25.top_bm25(*asked)
        assert twin[1][-1] == floor or len(twin[1]) == k
        for isa in ISAS:
            same(_native.kernels(isa).top_bm25(*asked), twin)


def test_ties_go_to_the_first_document(native: _native.Kernels):
    """Every document is as good as the others: the sums in f32 must not choose among them."""
    ndocs = 20_000
    made = {
        "docs": np.tile(np.arange(ndocs, dtype=np.uint32), 3),
        "tfs": np.ones(3 * ndocs, dtype=np.uint8),
        "doclens": np.full(ndocs, 7, dtype=np.uint32),
        "ends": np.array([ndocs, 2 * ndocs, 3 * ndocs], dtype=np.int64),
    }
    made["block_tfs"], made["block_doclens"] = _bounds(
        made["ends"], made["docs"], made["tfs"].astype(np.uint32), made["doclens"]
    )
    made["block_tfs"] = made["block_tfs"].astype(np.uint8)
    docs, scores = native.top_bm25(*question(made, [2, 0, 1], np.array([0.1, 0.7, 0.3]), k=10))
    assert docs.tolist() == list(range(10))
    assert len(set(scores.tolist())) == 1


@given(SEEDS, st.sampled_from([2, 3, 4]), st.integers(0, 600))
@settings(max_examples=40, deadline=None)
def test_count_alive(seed: int, nbytes: int, ndocs: int):
    rng = np.random.default_rng(seed)
    docs = np.flatnonzero(rng.random(ndocs) < 0.7).astype(np.uint32)
    begin, end = sorted(rng.integers(0, len(docs) + 1, size=2).tolist())
    alive = rng.integers(0, 2, size=ndocs).astype(np.uint8)
    asked = (postings.narrowed(docs, nbytes), begin, end, alive)
    twin = reference_bm25.count_alive(*asked)
    assert twin == alive[docs[begin:end]].sum()
    for isa in ISAS:
        assert _native.kernels(isa).count_alive(*asked) == twin


@given(st.sets(st.binary(min_size=1, max_size=4)), st.lists(st.binary(max_size=4)))
@settings(max_examples=100, deadline=None)
def test_find_terms(terms: set[bytes], others: list[bytes]):
    ordered = sorted(terms)
    blob = np.frombuffer(b"".join(ordered), dtype=np.uint8)
    ends = np.cumsum([len(term) for term in ordered], dtype=np.int64)
    wanted = [*ordered, *others]
    twin = reference_bm25.find_terms(blob, ends, wanted)
    assert twin == [ordered.index(term) if term in terms else -1 for term in wanted]
    for isa in ISAS:
        assert _native.kernels(isa).find_terms(blob, ends, wanted) == twin


@pytest.mark.parametrize("isa", [*ISAS, "reference"])
def test_hostile_arrays_are_refused(isa: str):
    kernels: Any = reference_bm25 if isa == "reference" else _native.kernels(isa)
    rng = np.random.default_rng(3)
    made = segment(rng, 500, 4, 4, 3)
    weights = np.ones(4)
    kernels.top_bm25(*question(made, [0, 1, 2, 3], weights))
    beyond = np.where(np.arange(len(made["docs"])) % 50 == 7, 500, made["docs"]).astype(np.uint32)
    with pytest.raises((ValueError, IndexError)):
        kernels.top_bm25(*question({**made, "docs": beyond}, [0, 1, 2, 3], weights))
    for begin, end in ((-1, 5), (5, 3), (0, len(made["docs"]) + 1), (1 << 62, (1 << 62) + 1)):
        asked = list(question(made, [1], weights[:1]))
        asked[5], asked[6] = np.array([begin], dtype=np.int64), np.array([end], dtype=np.int64)
        with pytest.raises((ValueError, IndexError)):
            kernels.top_bm25(*asked)
        with pytest.raises((ValueError, IndexError)):
            kernels.count_alive(made["docs"], begin, end, np.ones(500, dtype=np.uint8))
    with pytest.raises((ValueError, IndexError)):
        kernels.count_alive(made["docs"], 0, len(made["docs"]), np.ones(3, dtype=np.uint8))
    blob, ends = np.frombuffer(b"abcd", dtype=np.uint8), np.array([1, 9, -4], dtype=np.int64)
    for term in (b"a", b"zz", b"bc"):
        with pytest.raises(ValueError, match="term_ends"):
            kernels.find_terms(blob, ends, [term])


@given(SEEDS, st.sampled_from(ISAS))
@settings(max_examples=60, deadline=None)
def test_nothing_is_read_or_written_beyond_the_arrays(seed: int, isa: str):
    """Random numbers in all arrays: an answer or an error, never a crash."""
    rng = np.random.default_rng(seed)
    made = segment(rng, 300, 3, 3, 3)
    for name in ("docs", "tfs", "doclens", "block_tfs", "block_doclens"):
        if rng.random() < 0.4:
            raw = rng.integers(0, 256, size=made[name].nbytes, dtype=np.uint8)
            made[name] = raw.view(made[name].dtype).reshape(made[name].shape)
    try:
        docs, _ = _native.kernels(isa).top_bm25(*question(made, [0, 1, 2], np.ones(3)))
    except (ValueError, IndexError):
        return
    assert (docs < 300).all()
