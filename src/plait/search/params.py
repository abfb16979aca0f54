"""What a search may spend, per call."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plait.errors import InvalidParameter

#: Scanning this many tokens costs about as much as generating candidates
#: (benchmarks/scan_threshold.py; docs/decisions/0006-search-stages.md).
SCAN_TOKENS = 32_768
#: With ten times the documents 2.5 times the lists are visited, and half as many documents again are rescored
#: at a time; ten times the hits take twice the lists.
LISTS, DOCS, HITS = 0.4, 0.176, 0.301
#: Below this share of the documents no more lists are visited: by then few enough are left to scan.
SMALLEST_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class SearchParams:
    """How far a search looks. Larger values find more and take longer.

    Attributes:
        nprobe: centroids visited for each query token, on average (``ncells`` in ColBERT, ``n_ivf_probe`` in
            fast-plaid).
        ncandidates: documents that go from the inverted lists to centroid-only scoring (residual codec).
        ndocs: candidates rescored at a time; more follow as long as they change the best k, so that queries
            with many near hits look further than others.
        ngroups: groups of centroids in which those centroids are looked for, for each query token (scaled
            codec).
        merge: query tokens with at least this cosine are merged until the last stage (scaled codec); 1
            merges none.
        scan: True scores every document, False always generates candidates, None decides by size.
    """

    nprobe: int = 16
    ncandidates: int = 512
    ndocs: int = 80
    scan: bool | None = None
    ngroups: int = 8
    merge: float = 0.9

    def __post_init__(self) -> None:
        for name in ("nprobe", "ncandidates", "ndocs", "ngroups"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InvalidParameter(f"{name} must be a whole number of at least 1, not {value!r}")

    @classmethod
    def for_k(cls, k: int, documents: int = 10_000, effort: float = 1.0, share: float = 1.0) -> SearchParams:
        """Values that find the best ``k``.

        Search recall is .98 or more up to 100,000 documents, about .96 at a million and .93 at ten (decision
        0012, docs/benchmarks.md).

        Args:
            k: hits wanted.
            documents: in the index.
            effort: 2 looks at twice as much.
            share: of the documents, those that may be found (decision 0014).
        """
        growth = max(1.0, documents / 10_000)
        ndocs = max(80, 2 * k) * effort
        lists = 14 * max(1.0, k / 10) ** HITS
        return cls(
            nprobe=max(1, round(lists * growth**LISTS * effort)),
            ncandidates=max(1, round(max(512, 24 * k) * effort * growth**LISTS)),
            ndocs=max(1, round(ndocs * growth**DOCS)),
        ).among(share)

    def among(self, share: float) -> SearchParams:
        """The same where only a share of the documents may be found: more lists are visited.

        The best ``k`` of a share are about as far down as the best ``k / share`` of all.
        """
        if share >= 1:
            return self
        return replace(self, nprobe=max(1, round(self.nprobe * wider(share))))


def wider(share: float) -> float:
    """How many times as many lists to visit when only a share of the documents may be found."""
    return float(max(share, SMALLEST_SHARE) ** -HITS)
