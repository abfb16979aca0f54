// The loop that all dot-product kernels share: a tile of rows times up to two vectors of lanes.
//
// Lane = query token. A query is packed as [group of 2 vectors][unit][lane][kPack], a row's unit is
// spread over all lanes, and every (row, lane) has its own sum, so nothing is added across lanes.
// The sums must stay in registers; therefore they are members of a recursive struct and not an array,
// which gcc 12 would put on the stack.
#pragma once

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

// Addresses of up to 12 rows from four moving pointers: [pointer + {0, 1, 2} * stride].
template <class Row>
struct RowPointers {
    const Row *p0, *p3, *p6, *p9;
    int64_t stride;

    RowPointers(const Row* first, int64_t stride)
        : p0(first), p3(first + 3 * stride), p6(first + 6 * stride), p9(first + 9 * stride), stride(stride) {}

    template <int kIndex>
    PLAIT_INLINE const Row* at() const {
        const Row* base = kIndex < 3 ? p0 : kIndex < 6 ? p3 : kIndex < 9 ? p6 : p9;
        return base + kIndex % 3 * stride;
    }
    PLAIT_INLINE void advance(int64_t by) { p0 += by, p3 += by, p6 += by, p9 += by; }
};

template <class Dot, int kRows, int kVectors>
struct Sums {
    Sums<Dot, kRows - 1, kVectors> others;
    typename Dot::Acc a, b;

    template <class Job>
    PLAIT_INLINE void start(const Job& job, int64_t lane) {
        others.start(job, lane);
        a = job.start(kRows - 1, lane);
        if constexpr (kVectors == 2) b = job.start(kRows - 1, lane + kWidth);
    }
    template <class Rows, class Query>
    PLAIT_INLINE void step(const Rows& rows, const Query& first, const Query& second) {
        others.step(rows, first, second);
        const auto row = Dot::spread(rows.template at<kRows - 1>());
        Dot::step(a, row, first);
        if constexpr (kVectors == 2) Dot::step(b, row, second);
    }
    template <class Job, class Best>
    PLAIT_INLINE void finish(const Job& job, Best& first, Best& second, int64_t lane) {
        others.finish(job, first, second, lane);  // ascending rows: the first of equal values stays
        job.finish(kRows - 1, lane, a, first);
        if constexpr (kVectors == 2) job.finish(kRows - 1, lane + kWidth, b, second);
    }
};

template <class Dot, int kVectors>
struct Sums<Dot, 0, kVectors> {
    template <class Job>
    PLAIT_INLINE void start(const Job&, int64_t) {}
    template <class Rows, class Query>
    PLAIT_INLINE void step(const Rows&, const Query&, const Query&) {}
    template <class Job, class Best>
    PLAIT_INLINE void finish(const Job&, Best&, Best&, int64_t) {}
};

template <class Dot, int kRows, int kVectors, class Job>
PLAIT_INLINE void multiply_group(const Job& job, RowPointers<typename Dot::Row> rows,
                                 const typename Dot::Query* query, int64_t units, int64_t lane) {
    constexpr int kStep = kWidth * Dot::kPack;
    Sums<Dot, kRows, kVectors> sums;
    sums.start(job, lane);
    for (int64_t unit = 0; unit < units; ++unit) {
        const auto first = Dot::query(query);
        const auto second = kVectors == 2 ? Dot::query(query + kStep) : first;
        sums.step(rows, first, second);
        query += kVectors * kStep;
        rows.advance(Dot::kPack);
    }
    auto first = job.load(lane);
    auto second = kVectors == 2 ? job.load(lane + kWidth) : first;
    sums.finish(job, first, second, lane);
    job.save(lane, first);
    if constexpr (kVectors == 2) job.save(lane + kWidth, second);
}

template <class Dot>
struct PackedQuery {
    using Query = typename Dot::Query;
    int64_t lanes, units;
    Scratch<Query> data;

    PackedQuery(int64_t lanes, int64_t units) : lanes(lanes), units(units), data(lanes * units * Dot::kPack) {}

    // `column` holds the values of one query token, in the order of the rows' positions.
    void put(int64_t lane, const Query* column) {
        const int64_t group = lane / (2 * kWidth) * (2 * kWidth);
        const int64_t width = smaller_of<int64_t>(2 * kWidth, lanes - group);
        Query* out = data.data() + (group * units + lane - group) * Dot::kPack;
        for (int64_t unit = 0; unit < units; ++unit)
            __builtin_memcpy(out + unit * width * Dot::kPack, column + unit * Dot::kPack,
                             Dot::kPack * sizeof(Query));
    }
};

template <class Dot, int kRows, class Job>
[[gnu::noinline]] void multiply_tile(const Job& job, const typename Dot::Row* rows, int64_t stride,
                                     const PackedQuery<Dot>& query) {
    const RowPointers<typename Dot::Row> pointers(rows, stride);
    const typename Dot::Query* packed = query.data.data();
    int64_t lane = 0;
    for (; lane + 2 * kWidth <= query.lanes; lane += 2 * kWidth) {
        multiply_group<Dot, kRows, 2>(job, pointers, packed, query.units, lane);
        packed += 2 * kWidth * query.units * Dot::kPack;
    }
    if (lane < query.lanes) multiply_group<Dot, kRows, 1>(job, pointers, packed, query.units, lane);
}

template <int kValue>
struct Constant {
    static constexpr int value = kValue;
};

// Gives `tile(Constant<rows>, first)` every row of [0, count) at least once. A tile at the end may overlap
// the one before it, so jobs must not mind to meet a row twice.
template <int kTile, class Tile>
PLAIT_INLINE void for_tiles(int64_t count, const Tile& tile) {
    int64_t at = 0;
    for (; at + kTile <= count; at += kTile) tile(Constant<kTile>(), at);
    const int64_t rest = count - at;
    if (!rest) return;
    if constexpr (kTile > 8) {
        if (rest > 8 && count >= kTile) return tile(Constant<kTile>(), count - kTile);
        if (rest > 4 && count >= 8) {
            tile(Constant<8>(), smaller_of(at, count - 8));
            at += 8;
        }
    } else if constexpr (kTile > 4) {
        if (rest > 4 && count >= kTile) return tile(Constant<kTile>(), count - kTile);
    }
    if constexpr (kTile >= 4) {
        if (count >= 4)
            for (; at < count; at += 4) tile(Constant<4>(), smaller_of(at, count - 4));
    }
    for (; at < count; ++at) tile(Constant<1>(), at);
}

}  // namespace
}  // namespace plait::PLAIT_ISA
