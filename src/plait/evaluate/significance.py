"""Could a difference between two systems be chance? Paired tests over queries.

All take the differences of one metric, one per query. They are seeded: the same figures give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from plait.errors import InvalidParameter

#: Up to so many differences that are not zero, every assignment of signs is counted.
EXACT_UP_TO = 16
#: Random numbers drawn at a time, whatever the number of queries.
_AT_ONCE = 1 << 20
#: Sums of the same numbers in another order differ by less, as a share of the largest sum there is.
_ROUNDING = 1e-12


def permutation_test(differences: npt.ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided paired randomisation test (Fisher's; for retrieval: Smucker, Allan & Carterette, CIKM 2007).

    If the two systems were the same, either could have had the higher value for each query: the share of
    assignments of signs whose mean is as far from 0 as the one found. With up to 16 differences that are not
    0 all assignments are counted. With more, random ones are, and the one found is counted among them, so
    that the least p is ``1 / (resamples + 1)``.

    Args:
        differences: ``[nqueries]``, one per query.
        resamples: how many random assignments.
        seed: of these.

    Returns:
        The p-value, in (0, 1].

    Raises:
        InvalidParameter: there is no difference to test, or one is not finite.
    """
    values = _as_differences(differences)
    values = values[values != 0]
    found = abs(values.sum()) - _ROUNDING * np.abs(values).sum()
    if len(values) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= found).mean())
    rng = np.random.default_rng(seed)
    extreme = 0
    for size in _pieces(resamples, len(values)):
        signs = rng.integers(0, 2, size=(size, len(values)), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ values) >= found).sum())
    return (extreme + 1) / (resamples + 1)


def bootstrap_interval(
    differences: npt.ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Paired percentile bootstrap of a mean difference (Efron & Tibshirani 1993, chapter 13).

    Args:
        differences: ``[nqueries]``, one per query.
        confidence: between 0 and 1.
        resamples: how many samples of queries, drawn with replacement.
        seed: of these.

    Returns:
        The ends of the interval.

    Raises:
        InvalidParameter: there is no difference, or one is not finite, or ``confidence`` is out of range.
    """
    values = _as_differences(differences)
    if not 0 < confidence < 1:
        raise InvalidParameter(f"confidence must be between 0 and 1, not {confidence}")
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(0, len(values), size=(size, len(values)), dtype=np.int32)].mean(axis=1)
        for size in _pieces(resamples, len(values))
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values of several tests (Holm 1979): each is then at most the chance of any false alarm.

    Returns:
        The corrected values, in the order given: each at least the given one, and at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected


def _as_differences(differences: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise InvalidParameter(f"differences must be a list of at least one number, not {values.shape}")
    if not np.isfinite(values).all():
        raise InvalidParameter("a difference is not a finite number")
    return values


def _pieces(resamples: int, width: int) -> list[int]:
    """Sizes that sum to ``resamples``, each of which needs few enough random numbers."""
    if resamples < 1:
        raise InvalidParameter(f"resamples must be at least 1, not {resamples}")
    size = max(1, _AT_ONCE // width)
    return [min(size, resamples - start) for start in range(0, resamples, size)]
