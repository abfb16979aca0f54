"""Every query is asked, and time is told with and without encoding."""

import itertools
import time

import pytest

from plait.comparison.encoding import WatchedEncoder
from plait.comparison.measuring import MOST_AT_ONCE, ask_all, queries_per_second
from plait.types import Hit, Hits

from .conftest import WordEncoder

QUERIES = {f"q{number}": f"text {number}" for number in range(12)}


class Fake:
    """A retriever whose clock is counted, not measured: encoding takes 3 s and searching 1 s more."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seconds = 0.0
        self.encoding = 0.0

    def search(self, query: str, k: int) -> Hits:
        self.asked.append(query)
        self.encoding += 3.0
        self.seconds += 4.0
        return Hits([Hit(1, query, 2.5)], {"encode": 3000.0, "fake": 1000.0})


def test_all_queries_are_asked_after_a_warm_up(monkeypatch):
    fake = Fake()
    monkeypatch.setattr(time, "perf_counter", lambda: fake.seconds)
    monkeypatch.setattr(time, "process_time", lambda: 2 * fake.seconds)
    done = []
    run, latency, stages = ask_all(
        fake, QUERIES, 10, lambda: (fake.encoding, 2 * fake.encoding), lambda *so_far: done.append(so_far)
    )
    assert fake.asked[-12:] == list(QUERIES.values())
    assert len(fake.asked) > 12
    assert run == {key: {text: 2.5} for key, text in QUERIES.items()}
    assert (latency.p50, latency.p95, latency.p50_encoded) == (4000, 4000, 1000)
    assert (latency.cpu_p50, latency.cpu_p50_encoded, latency.cpu_p95_encoded) == (8000, 2000, 2000)
    assert stages == {"encode": 3000, "fake": 1000}
    assert done[-1] == (12, 12)


def test_queries_per_second_ends_after_enough_queries_or_time(monkeypatch):
    fake = Fake()
    texts = [str(number) for number in range(3 * MOST_AT_ONCE)]
    assert queries_per_second(fake, texts, 10, threads=1) > 0
    assert len(fake.asked) == MOST_AT_ONCE
    slow = Fake()
    seconds = itertools.count(step=6)  # each look at the clock is six seconds later
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(seconds)))
    assert queries_per_second(slow, texts, 10, threads=1) < 1
    assert len(slow.asked) < 5


def test_a_watched_encoder_is_the_encoder():
    encoder, plain = WatchedEncoder(WordEncoder()), WordEncoder()
    assert (encoder.dim, encoder.name, encoder.fingerprint) == (16, "words", plain.fingerprint)
    ours, theirs = encoder.encode_queries(["one two"]), plain.encode_queries(["one two"])
    assert (ours.vectors == theirs.vectors).all()
    wall, _ = encoder.query_time()
    assert wall > 0
    assert not encoder.document_time.any()
    encoder.encode_documents(["three"])
    assert encoder.document_time[0] > 0
    assert encoder.query_time()[0] == pytest.approx(wall)
