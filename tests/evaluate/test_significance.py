"""The tests agree with enumeration and with scipy, and keep what they promise."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.errors import InvalidParameter
from plait.evaluate import bootstrap_interval, holm, permutation_test

differences = st.lists(st.integers(-4, 4).map(lambda n: n / 4) | st.floats(-1, 1), min_size=1, max_size=9)


@given(differences)
def test_few_differences_are_enumerated(values):
    values = np.array(values)
    signs = np.array(list(itertools.product([1, -1], repeat=len(values))))
    sums = np.abs(signs @ values)
    close = 1e-9 * np.abs(values).sum()
    expected = (sums >= abs(values.sum()) - close).mean()
    strict = (sums > abs(values.sum()) + close).mean()
    assert strict < permutation_test(values) <= expected + 1e-12


@pytest.mark.parametrize("n", [5, 12])
def test_equals_scipys_exact_test(n):
    rng = np.random.default_rng(n)
    ours, theirs = rng.random(n), rng.random(n)

    def mean_difference(x, y):
        return (x - y).mean()

    exact = scipy.stats.permutation_test(
        (ours, theirs), mean_difference, permutation_type="samples", n_resamples=np.inf
    )
    assert permutation_test(ours - theirs) == pytest.approx(exact.pvalue)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1])
def test_many_differences_agree_with_the_paired_t_test(shift):
    """Of 200 values near a normal distribution both tests have nearly the same p."""
    rng = np.random.default_rng(1)
    values = rng.normal(shift, 0.5, size=200)
    p = permutation_test(values, resamples=20_000)
    assert p == pytest.approx(scipy.stats.ttest_1samp(values, 0).pvalue, abs=0.02)


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(2).gamma(2.0, size=120) - 1.5
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert bootstrap_interval(values) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    narrow = bootstrap_interval(values, confidence=0.5)
    assert theirs.low < narrow[0] < values.mean() < narrow[1] < theirs.high


def test_p_values_of_no_difference_are_uniform():
    """Under the null hypothesis p is below .1 for about a tenth of the experiments."""
    rng = np.random.default_rng(3)
    found = [permutation_test(rng.normal(size=30), resamples=200, seed=n) for n in range(400)]
    assert 0.06 < np.mean(np.array(found) <= 0.1) < 0.14


def test_the_same_figures_give_the_same_answer():
    values = np.random.default_rng(4).normal(0.1, size=50)
    assert permutation_test(values) == permutation_test(values)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values)


def test_equal_systems():
    assert permutation_test(np.zeros(100)) == 1.0
    assert bootstrap_interval(np.zeros(100)) == (0.0, 0.0)


def test_the_least_p_is_not_zero():
    assert permutation_test(np.full(100, 0.3), resamples=999) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (lambda: permutation_test([]), "at least one number"),
        (lambda: permutation_test([0.1, np.nan]), "not a finite number"),
        (lambda: permutation_test(np.ones(50), resamples=0), "resamples must be at least 1"),
        (lambda: bootstrap_interval([0.1], confidence=95), "confidence must be between 0 and 1"),
    ],
)
def test_values_that_can_not_be_tested(test, message):
    with pytest.raises(InvalidParameter, match=message):
        test()


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferronis(p_values):
    corrected = holm(p_values)
    for p, adjusted in zip(p_values, corrected, strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)
