"""Types of the native module; `reference.py` says what each kernel computes."""

from plait.kernels.reference import F32, Array

class Kernels:
    @property
    def isa(self) -> str: ...
    def maxsim(self, query: F32, vectors: F32, offsets: Array, docs: Array) -> F32: ...
    def maxsim_codes(
        self,
        query8: Array,
        lane_weights: F32,
        table: Array,
        shift: int,
        levels: Array,
        nbits: int,
        codes: Array,
        residuals: Array,
        scales: Array,
        offsets: Array,
        docs: Array,
    ) -> F32: ...
    def approximate(
        self, table: Array, lane_weights: F32, codes: Array, offsets: Array, docs: Array
    ) -> F32: ...
    def centroid_scores(self, query8: Array, centroids8: Array, row_scale: F32) -> Array: ...
    def assign_grouped(
        self,
        vectors: F32,
        heads8: Array,
        head_scale: F32,
        centroids8: Array,
        scales: F32,
        group_offsets: Array,
        nprobe: int,
        margin: float,
    ) -> Array: ...
    def assign(self, vectors: F32, centroids8: Array, scales: F32) -> Array: ...
    def sum_by_centroid(self, vectors: F32, codes: Array, ncentroids: int) -> tuple[Array, Array]: ...
    def compress(self, vectors: F32, centroids: F32, codes: Array, cutoffs: F32, nbits: int) -> Array: ...
    def decompress(self, codes: Array, residuals: Array, centroids: F32, weights: F32, nbits: int) -> F32: ...
    def inverse_norms(
        self, codes: Array, residuals: Array, centroids: F32, weights: F32, nbits: int
    ) -> Array: ...
    def top_centroids(self, table: Array, nq: int, nprobe: int) -> Array: ...
    def gather(
        self,
        table: Array,
        probes: Array,
        lane_weights: F32,
        ivf_offsets: Array,
        ivf_pids: Array,
        allowed: Array | None,
        ndocs: int,
    ) -> tuple[Array, F32]: ...
    def top_k(self, scores: F32, k: int) -> Array: ...
    def encode_scaled(
        self,
        vectors: F32,
        codes: Array,
        centroids8: Array,
        centroid_scales: F32,
        sigma: F32,
        bits: tuple[int, int, int],
    ) -> tuple[Array, F32]: ...
    def decode_scaled(
        self,
        codes: Array,
        rows: Array,
        gains: Array,
        centroids8: Array,
        centroid_scales: F32,
        sigma: F32,
        bits: tuple[int, int, int],
        gain_values: F32,
    ) -> F32: ...
    def maxsim_scaled(
        self,
        query: F32,
        codes: Array,
        rows: Array,
        gains: Array,
        centroids8: Array,
        centroid_scales: F32,
        sigma: F32,
        bits: tuple[int, int, int],
        gain_values: F32,
        offsets: Array,
        docs: Array,
    ) -> F32: ...
    def maxsim_decoded(
        self,
        query: F32,
        codes: Array,
        rows: Array,
        gains: Array,
        centroids8: Array,
        centroid_scales: F32,
        sigma: F32,
        bits: tuple[int, int, int],
        gain_values: F32,
        offsets: Array,
        docs: Array,
    ) -> F32: ...
    def maxsim_scaled_all(
        self,
        queries: F32,
        query_offsets: Array,
        codes: Array,
        rows: Array,
        gains: Array,
        centroids8: Array,
        centroid_scales: F32,
        sigma: F32,
        bits: tuple[int, int, int],
        gain_values: F32,
        offsets: Array,
        docs: Array,
    ) -> F32: ...
    def maxsim_decoded_all(
        self,
        queries: F32,
        query_offsets: Array,
        codes: Array,
        rows: Array,
        gains: Array,
        centroids8: Array,
        centroid_scales: F32,
        sigma: F32,
        bits: tuple[int, int, int],
        gain_values: F32,
        offsets: Array,
        docs: Array,
    ) -> F32: ...
    def rotate(self, vectors: F32, rotation: F32) -> F32: ...
    def merge_tokens(self, query: F32, similarity: float) -> F32: ...
    def top_rows(
        self,
        query: F32,
        probes: Array,
        group_offsets: Array,
        rows8: Array,
        row_scales: F32,
        count: int,
    ) -> tuple[Array, F32]: ...
    def gather_top(
        self,
        lists: Array,
        gains: Array,
        list_offsets: Array,
        list_docs: Array,
        allowed: Array | None,
        ndocs: int,
        count: int,
    ) -> tuple[Array, F32]: ...
    def invert(self, codes: Array, offsets: Array, nlists: int, nbytes: int) -> tuple[Array, Array]: ...
    def top_pooled(
        self, query: Array, query_scale: float, rows: Array, scales: F32, allowed: Array | None, count: int
    ) -> tuple[Array, F32]: ...
    def top_bm25(
        self,
        docs: Array,
        tfs: Array,
        doclens: Array,
        block_tfs: Array,
        block_doclens: Array,
        begins: Array,
        ends: Array,
        blocks: Array,
        weights: Array,
        k1: float,
        b: float,
        average: float,
        mask: Array | None,
        k: int,
        floor: float = 0.0,
    ) -> tuple[Array, F32]: ...
    def count_alive(self, docs: Array, begin: int, end: int, alive: Array) -> int: ...
    def find_terms(self, blob: Array, ends: Array, terms: list[bytes]) -> list[int]: ...

def available_isas() -> list[str]: ...
def kernels(isa: str) -> Kernels: ...
