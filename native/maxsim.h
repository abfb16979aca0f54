// MaxSim over documents: exact in f32, from residual codes in int8, and from centroids alone.
#pragma once

#include "tile.h"

namespace plait::PLAIT_ISA {
namespace {

struct MaxsimJob {
    float* best;

    PLAIT_INLINE F32 start(int, int64_t) const { return splat(0.0f); }
    PLAIT_INLINE F32 load(int64_t lane) const { return PLAIT_ISA::load(best + lane); }
    PLAIT_INLINE void save(int64_t lane, F32 value) const { store(best + lane, value); }
    PLAIT_INLINE void finish(int, int64_t, F32 dot, F32& value) const { value = larger(dot, value); }
};

Status maxsim(const MaxsimArgs& args) {
    const int64_t lanes = round_up(args.nq > 0 ? args.nq : 1, 16);
    PackedQuery<DotFloat> query(lanes, args.dim);
    Scratch<float> best(lanes), ones(lanes);
    if (!query.data || !best || !ones) return {Fault::memory, 0};
    for (int64_t q = 0; q < args.nq; ++q) {
        query.put(q, args.query + q * args.dim);
        ones[q] = 1.0f;
    }
    const MaxsimJob job{best.data()};
    for (int64_t j = 0; j < args.docs.count; ++j) {
        Range range;
        if (const Status status = find_range(args.docs, j, range); status.fault != Fault::none) return status;
        if (!range.size()) {
            args.scores[j] = kMinusInfinity;
            continue;
        }
        Range next{0, 0};
        if (j + 1 < args.docs.count && find_range(args.docs, j + 1, next).fault != Fault::none) next = {0, 0};
        for (int64_t lane = 0; lane < lanes; ++lane) best[lane] = lane < args.nq ? kMinusInfinity : 0.0f;
        const float* rows = args.vectors + range.begin * args.dim;
        for_tiles<DotFloat::kTile>(range.size(), [&](auto tile, int64_t first) {
            const int64_t ahead = smaller_of<int64_t>(tile.value, next.size() - first);
            prefetch_range(args.vectors + (next.begin + first) * args.dim, ahead * args.dim * 4);
            multiply_tile<DotFloat, tile.value>(job, rows + first * args.dim, args.dim, query);
        });
        args.scores[j] = sum_lanes(best.data(), ones.data(), lanes);
    }
    return kDone;
}

struct CodesJob {
    const int16_t* table;
    int64_t lanes;
    int shift;
    const int32_t* bias;
    const uint32_t* codes;   // of the tile's first row
    const uint16_t* scales;  // likewise
    float* best;

    PLAIT_INLINE I32 start(int row, int64_t lane) const {
        const int16_t* scores = table + codes[row] * lanes + lane;
        return add(shift_left(widen(scores), shift), PLAIT_ISA::load(bias + lane));
    }
    PLAIT_INLINE F32 load(int64_t lane) const { return PLAIT_ISA::load(best + lane); }
    PLAIT_INLINE void save(int64_t lane, F32 value) const { store(best + lane, value); }
    PLAIT_INLINE void finish(int row, int64_t, I32 dot, F32& value) const {
        value = larger(multiply(to_float(dot), splat_half(scales + row)), value);
    }
};

// Documents are scored in any order, so nearly every one is a cache miss. While one is scored, the
// table rows of the next are fetched, and the codes of the one after it.
class Ahead {
public:
    explicit Ahead(const MaxsimCodesArgs& args, int64_t row_bytes) : args_(args), row_bytes_(row_bytes) {}

    // `j` is about to be scored.
    PLAIT_INLINE void move_to(int64_t j) {
        next_ = after_;
        after_ = {0, 0};
        tables_ = rows_ = 0;
        const Docs& docs = args_.docs;
        if (j + 2 < docs.count && find_range(docs, j + 2, after_).fault != Fault::none) after_ = {0, 0};
        if (j + 4 < docs.count && docs.docs[j + 4] < docs.ndocs) prefetch(docs.offsets + docs.docs[j + 4]);
    }

    PLAIT_INLINE void fetch(int64_t count) {
        const int64_t tables = smaller_of(tables_ + count, next_.size());
        for (; tables_ < tables; ++tables_) {
            const int64_t code = args_.residuals.codes[next_.begin + tables_];
            prefetch_range(args_.table + code * args_.lanes, args_.lanes * 2);
        }
        const int64_t rows = smaller_of(rows_ + count, after_.size());
        if (rows_ < rows) {
            const int64_t at = after_.begin + rows_, fresh = rows - rows_;
            prefetch_range(args_.residuals.rows + at * row_bytes_, fresh * row_bytes_);
            prefetch_range(args_.residuals.codes + at, fresh * 4);
            prefetch_range(args_.scales + at, fresh * 2);
            rows_ = rows;
        }
    }

private:
    const MaxsimCodesArgs& args_;
    const int64_t row_bytes_;
    Range next_{0, 0}, after_{0, 0};
    int64_t tables_ = 0, rows_ = 0;
};

template <int kBits>
Status maxsim_codes_of(const MaxsimCodesArgs& args) {
    using Decode = Decoder<kBits>;
    using Dot = typename Decode::Dot;
    const Residuals& residuals = args.residuals;
    const Layout layout(residuals.dim, kBits, Dot::kPack);
    // A decoded row may be stored in whole vectors, hence the room; and rows that lie a power of two
    // apart would compete for the same cache sets.
    const int64_t stride = round_up(layout.positions(), 64) + 64;
    PackedQuery<Dot> query(args.lanes, layout.positions() / Dot::kPack);
    Scratch<typename Dot::Row> rows(Dot::kTile * stride + 64);
    Scratch<typename Dot::Query> column(layout.positions());
    Scratch<int64_t> dimension(layout.positions());
    Scratch<int32_t> bias(args.lanes);
    Scratch<float> best(args.lanes);
    if (!query.data || !rows || !column || !dimension || !bias || !best) return {Fault::memory, 0};

    layout.map(residuals.dim, dimension.data());
    const int zero = kBits == 8 ? 128 : 64;
    for (int64_t q = 0; q < args.nq; ++q) {
        const int8_t* values = args.query + q * residuals.dim;
        int32_t sum = 0;
        for (int64_t p = 0; p < layout.positions(); ++p) {
            column[p] = dimension[p] < 0 ? 0 : values[dimension[p]];
            sum += column[p];
        }
        query.put(q, column.data());
        bias[q] = Dot::kCentred ? 0 : -zero * sum;
    }
    Decode decoder;
    decoder.prepare(args.levels, layout);

    const uint8_t* const end = residuals.rows + residuals.ntokens * layout.bytes;
    CodesJob job{args.table, args.lanes, args.shift, bias.data(), nullptr, nullptr, best.data()};
    Ahead ahead(args, layout.bytes);
    for (int64_t j = 0; j < args.docs.count; ++j) {
        Range range;
        if (const Status status = find_range(args.docs, j, range); status.fault != Fault::none) return status;
        if (const Status status = check_codes(residuals.codes, range, args.ncentroids); status.fault != Fault::none)
            return status;
        ahead.move_to(j);
        if (!range.size()) {
            args.scores[j] = kMinusInfinity;
            continue;
        }
        for (int64_t lane = 0; lane < args.lanes; ++lane) best[lane] = kMinusInfinity;
        for_tiles<Dot::kTile>(range.size(), [&](auto tile, int64_t first) {
            const int64_t at = range.begin + first;
            for (int row = 0; row < tile.value; ++row)
                decoder.decode(residuals.rows + (at + row) * layout.bytes, end, layout, rows.data() + row * stride);
            ahead.fetch(tile.value);
            job.codes = residuals.codes + at;
            job.scales = args.scales + at;
            multiply_tile<Dot, tile.value>(job, rows.data(), stride, query);
        });
        ahead.fetch(INT64_MAX / 2);
        args.scores[j] = sum_lanes(best.data(), args.lane_weights, args.lanes);
    }
    return kDone;
}

Status maxsim_codes(const MaxsimCodesArgs& args) {
    switch (args.residuals.nbits) {
        case 1: return maxsim_codes_of<1>(args);
        case 2: return maxsim_codes_of<2>(args);
        case 4: return maxsim_codes_of<4>(args);
        default: return maxsim_codes_of<8>(args);
    }
}

template <class Short>
PLAIT_INLINE void largest_rows(const ApproximateArgs& args, Range range, Range next, int64_t lane, int16_t* best) {
    const int16_t* table = args.table + lane;
    const uint32_t* codes = args.codes + range.begin;
    const int64_t count = range.size();
    Short even = Short::load(table + codes[0] * args.lanes), odd = even;
    int64_t i = 1;
    const int64_t together = smaller_of(count - 1, next.size());
    const uint32_t* ahead = args.codes + next.begin;
    for (; i + 1 < together; i += 2) {
        prefetch(table + ahead[i - 1] * args.lanes);
        prefetch(table + ahead[i] * args.lanes);
        even = even.larger(Short::load(table + codes[i] * args.lanes));
        odd = odd.larger(Short::load(table + codes[i + 1] * args.lanes));
    }
    for (int64_t k = i - 1; k < next.size(); ++k) prefetch(table + ahead[k] * args.lanes);
    for (; i < count; ++i) even = even.larger(Short::load(table + codes[i] * args.lanes));
    even.larger(odd).store(best + lane);
}

Status approximate(const ApproximateArgs& args) {
    const Docs& docs = args.docs;
    Scratch<int16_t> best(args.lanes);
    Scratch<float> values(args.lanes);
    if (!best || !values) return {Fault::memory, 0};
    Range next{0, 0};
    for (int64_t j = 0; j < docs.count; ++j) {
        Range range;
        if (const Status status = find_range(docs, j, range); status.fault != Fault::none) return status;
        if (const Status status = check_codes(args.codes, range, args.ncentroids); status.fault != Fault::none)
            return status;
        if (j + 1 >= docs.count || find_range(docs, j + 1, next).fault != Fault::none) next = {0, 0};
        if (Range after; j + 2 < docs.count && find_range(docs, j + 2, after).fault == Fault::none)
            prefetch_range(args.codes + after.begin, after.size() * 4);
        if (j + 4 < docs.count && docs.docs[j + 4] < docs.ndocs) prefetch(docs.offsets + docs.docs[j + 4]);
        if (!range.size()) {
            args.scores[j] = kMinusInfinity;
            continue;
        }
        int64_t lane = 0;
        for (; lane + Short32::kLanes <= args.lanes; lane += Short32::kLanes)
            largest_rows<Short32>(args, range, next, lane, best.data());
        if (lane < args.lanes) largest_rows<Short16>(args, range, next, lane, best.data());
        for (lane = 0; lane < args.lanes; ++lane) values[lane] = static_cast<float>(best[lane]);
        args.scores[j] = sum_lanes(values.data(), args.lane_weights, args.lanes);
    }
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
