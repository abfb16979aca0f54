// Kernels that read the centroids: a query's table of scores, the nearest centroid, sums for k-means.
#pragma once

#include "tile.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int kCentroidZero = 128;

// Rows of u8 centroids as the dot product wants them: in place if it takes whole rows of bytes,
// otherwise padded or widened into scratch memory.
class CentroidRows {
public:
    using Dot = DotBytes;

    CentroidRows(const uint8_t* centroids, int64_t dim)
        : centroids_(centroids), dim_(dim),
          in_place_(sizeof(Dot::Row) == 1 && dim % Dot::kPack == 0),
          stride_(in_place_ ? dim : round_up(dim, 64) + 64 / sizeof(Dot::Row)),
          scratch_(in_place_ ? 0 : Dot::kTile * stride_) {}

    explicit operator bool() const { return static_cast<bool>(scratch_); }
    int64_t stride() const { return stride_; }

    PLAIT_INLINE const Dot::Row* tile(int64_t first, int count) const {
        if constexpr (sizeof(Dot::Row) == 1) {
            if (in_place_) return reinterpret_cast<const Dot::Row*>(centroids_) + first * dim_;
        }
        for (int row = 0; row < count; ++row) {
            const uint8_t* from = centroids_ + (first + row) * dim_;
            Dot::Row* to = scratch_.data() + row * stride_;
            // Rows of bytes are centred, if at all, when they are multiplied.
            const int zero = sizeof(Dot::Row) > 1 && Dot::kCentred ? kCentroidZero : 0;
            for (int64_t d = 0; d < dim_; ++d) to[d] = static_cast<Dot::Row>(from[d] - zero);
        }
        return scratch_.data();
    }

private:
    const uint8_t* centroids_;
    int64_t dim_;
    bool in_place_;
    int64_t stride_;
    Scratch<Dot::Row> scratch_;
};

// Packs i8 [dim] columns, and what to add to their sums because rows are not centred.
struct ByteQuery {
    using Dot = DotBytes;
    PackedQuery<Dot> packed;
    Scratch<int32_t> bias;
    Scratch<Dot::Query> column;

    ByteQuery(int64_t lanes, int64_t dim)
        : packed(lanes, round_up(dim, Dot::kPack) / Dot::kPack), bias(lanes), column(round_up(dim, Dot::kPack)) {}

    explicit operator bool() const { return packed.data && bias && column; }

    // `column` has been filled.
    void put(int64_t lane, int64_t dim) { put(lane, dim, column.data()); }

    // `values` are padded with zeros to whole units of the dot product.
    void put(int64_t lane, int64_t dim, const Dot::Query* values) {
        int32_t sum = 0;
        for (int64_t d = 0; d < dim; ++d) sum += values[d];
        packed.put(lane, values);
        bias[lane] = Dot::kCentred ? 0 : -kCentroidZero * sum;
    }
};

struct Nothing {};

struct TableJob {
    const int32_t* bias;
    const float* row_scale;  // of the tile's first row
    int16_t* table;          // likewise
    int64_t lanes;

    PLAIT_INLINE I32 start(int, int64_t lane) const { return PLAIT_ISA::load(bias + lane); }
    PLAIT_INLINE Nothing load(int64_t) const { return {}; }
    PLAIT_INLINE void save(int64_t, Nothing) const {}
    PLAIT_INLINE void finish(int row, int64_t lane, I32 dot, Nothing&) const {
        store_rounded(table + row * lanes + lane, multiply(to_float(dot), splat(row_scale[row])));
    }
};

Status centroid_scores(const CentroidScoresArgs& args) {
    ByteQuery query(args.lanes, args.dim);
    const CentroidRows rows(args.centroids, args.dim);
    if (!query || !rows) return {Fault::memory, 0};
    for (int64_t q = 0; q < args.nq; ++q) {
        for (int64_t d = 0; d < args.dim; ++d) query.column[d] = args.query[q * args.dim + d];
        query.put(q, args.dim);
    }
    TableJob job{query.bias.data(), nullptr, nullptr, args.lanes};
    for_tiles<DotBytes::kTile>(args.ncentroids, [&](auto tile, int64_t first) {
        job.row_scale = args.row_scale + first;
        job.table = args.table + first * args.lanes;
        multiply_tile<DotBytes, tile.value>(job, rows.tile(first, tile.value), rows.stride(), query.packed);
    });
    return kDone;
}

struct Nearest {
    F32 best;
    I32 index;
};

struct AssignJob {
    const int32_t* bias;
    const float* scales;  // of the tile's first row
    int32_t first;
    float* best;
    int32_t* index;

    PLAIT_INLINE I32 start(int, int64_t lane) const { return PLAIT_ISA::load(bias + lane); }
    PLAIT_INLINE Nearest load(int64_t lane) const {
        return {PLAIT_ISA::load(best + lane), PLAIT_ISA::load(index + lane)};
    }
    PLAIT_INLINE void save(int64_t lane, const Nearest& value) const {
        store(best + lane, value.best);
        store(index + lane, value.index);
    }
    PLAIT_INLINE void finish(int row, int64_t, I32 dot, Nearest& value) const {
        keep_larger(value.best, value.index, multiply(to_float(dot), splat(scales[row])), first + row);
    }
};

// One row of `quantise_rows`.
PLAIT_INLINE void quantise(const float* vector, int64_t dim, DotBytes::Query* out) {
    uint32_t largest = 0;  // magnitudes compare as their bits do
    for (int64_t d = 0; d < dim; ++d) {
        const uint32_t magnitude = unaligned<uint32_t>(vector + d) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    const float top = unaligned<float>(&largest);
    const float up = top > 0 ? 127.0f / top : 0.0f;
    for (int64_t d = 0; d < dim; ++d) {
        // As in store_rounded; the low byte of the sum is the rounded value.
        const float sum = vector[d] * up + 12582912.0f;
        out[d] = static_cast<int8_t>(unaligned<uint32_t>(&sum));
    }
}

// Many lanes at once, so that a tile of centroids is read from far away only once for all of them.
constexpr int64_t kAssignLanes = 128;

Status assign(const AssignArgs& args) {
    const int64_t lanes = smaller_of(kAssignLanes, round_up(args.count, 16));
    ByteQuery query(lanes, args.dim);
    const CentroidRows rows(args.centroids, args.dim);
    Scratch<float> best(lanes);
    Scratch<int32_t> index(lanes);
    if (!query || !rows || !best || !index) return {Fault::memory, 0};
    AssignJob job{query.bias.data(), nullptr, 0, best.data(), index.data()};
    for (int64_t start = 0; start < args.count; start += lanes) {
        const int64_t count = smaller_of(lanes, args.count - start);
        for (int64_t lane = 0; lane < count; ++lane) {
            quantise(args.vectors + (start + lane) * args.dim, args.dim, query.column.data());
            query.put(lane, args.dim);
        }
        for (int64_t lane = 0; lane < lanes; ++lane) best[lane] = kMinusInfinity, index[lane] = 0;
        for_tiles<DotBytes::kTile>(args.ncentroids, [&](auto tile, int64_t first) {
            job.scales = args.scales + first;
            job.first = static_cast<int32_t>(first);
            multiply_tile<DotBytes, tile.value>(job, rows.tile(first, tile.value), rows.stride(), query.packed);
        });
        for (int64_t lane = 0; lane < count; ++lane) args.codes[start + lane] = static_cast<uint32_t>(index[lane]);
    }
    return kDone;
}

Status sum_by_centroid(const SumArgs& args) {
    const Range all{0, args.count};
    if (const Status status = check_codes(args.codes, all, args.ncentroids); status.fault != Fault::none) return status;
    for (int64_t i = 0; i < args.count; ++i) {
        if (i + 4 < args.count) prefetch_range(args.sums + args.codes[i + 4] * args.dim, args.dim * 8);
        double* sum = args.sums + args.codes[i] * args.dim;
        const float* vector = args.vectors + i * args.dim;
        for (int64_t d = 0; d < args.dim; ++d) sum[d] += static_cast<double>(vector[d]);
        ++args.counts[args.codes[i]];
    }
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
