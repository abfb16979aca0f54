// MaxSim from the codes of the scaled codec (src/plait/kernels/reference_scaled.py).
#pragma once

#include "maxsim.h"
#include "scaled.h"

namespace plait::PLAIT_ISA {
namespace {

// Documents are scored in any order, so nearly every one is a cache miss. While one is scored, what the
// codes of the next point to is fetched, and codes, rows and gains of the one after it.
template <class Near>
class ScaledAhead {
public:
    // `near(code)` is the address of `near_bytes` that are read for each token; 0 where they are in the cache.
    ScaledAhead(const MaxsimScaledArgs& args, const Near& near, int64_t near_bytes)
        : args_(args), near_(near), near_bytes_(near_bytes) {}

    // `j` is about to be scored.
    PLAIT_INLINE void move_to(int64_t j) {
        next_ = after_;
        after_ = {0, 0};
        nears_ = rows_ = 0;
        const Docs& docs = args_.docs;
        if (j + 2 < docs.count && find_range(docs, j + 2, after_).fault != Fault::none) after_ = {0, 0};
        if (j + 4 < docs.count && docs.docs[j + 4] < docs.ndocs) prefetch(docs.offsets + docs.docs[j + 4]);
    }

    [[gnu::noinline]] void fetch(int64_t count) {
        const ScaledTokens& tokens = args_.tokens;
        const int64_t nears = near_bytes_ ? smaller_of(nears_ + count, next_.size()) : 0;
        const Near near = near_;  // a copy, which no store can change
        const uint16_t* codes = tokens.codes + next_.begin;
        for (int64_t i = nears_; i < nears; ++i)
            if (codes[i] < args_.codec.ncentroids) prefetch_range(near(codes[i]), near_bytes_);
        nears_ = nears > nears_ ? nears : nears_;
        const int64_t rows = smaller_of(rows_ + count, after_.size());
        if (rows_ < rows) {
            const int64_t at = after_.begin + rows_, fresh = rows - rows_, row_bytes = args_.codec.row_bytes;
            prefetch_range(tokens.rows + at * row_bytes, fresh * row_bytes);
            prefetch_range(tokens.codes + at, fresh * 2);
            prefetch_range(tokens.gains + at, fresh);
            rows_ = rows;
        }
    }

private:
    const MaxsimScaledArgs& args_;
    const Near near_;
    const int64_t near_bytes_;
    Range next_{0, 0}, after_{0, 0};
    int64_t nears_ = 0, rows_ = 0;
};

// A query in int8, twice: for the centroids, and times sigma for the levels; and what the two differ by.
class ScaledQuery {
public:
    ScaledQuery(const MaxsimScaledArgs& args, const LevelRows& rows)
        : lanes(round_up(args.nq > 0 ? args.nq : 1, 16)), near(lanes, args.codec.width),
          fine(lanes, rows.positions() / LevelRows::Dot::kPack), bias(lanes), ratio(lanes), unit(lanes),
          scaled_(args.codec.width), bytes_(args.codec.width), column_(rows.positions()),
          dimension_(rows.positions()) {
        if (!*this) return;
        rows.map(dimension_.data());
        for (int64_t q = 0; q < args.nq; ++q) put(args, rows.positions(), q);
    }

    explicit operator bool() const {
        return near && fine.data && bias && ratio && unit && scaled_ && bytes_ && column_ && dimension_;
    }

    const int64_t lanes;
    ByteQuery near;
    PackedQuery<LevelRows::Dot> fine;
    Scratch<int32_t> bias;
    Scratch<float> ratio, unit;

private:
    static float scale_of(const float* vector, int64_t width) {
        uint32_t largest = 0;  // magnitudes compare as their bits do
        for (int64_t d = 0; d < width; ++d) {
            const uint32_t magnitude = unaligned<uint32_t>(vector + d) & 0x7fffffff;
            largest = magnitude > largest ? magnitude : largest;
        }
        return unaligned<float>(&largest) / 127.0f;
    }

    void put(const MaxsimScaledArgs& args, int64_t positions, int64_t q) {
        const int64_t width = args.codec.width;
        const float* vector = args.query + q * width;
        const float near_scale = scale_of(vector, width);
        quantise(vector, width, near.column.data());
        near.put(q, width);
        for (int64_t d = 0; d < width; ++d) scaled_[d] = vector[d] * args.codec.sigma[d];
        const float fine_scale = scale_of(scaled_.data(), width);
        quantise(scaled_.data(), width, bytes_.data());
        int32_t sum = 0;
        for (int64_t p = 0; p < positions; ++p) {
            column_[p] = static_cast<LevelRows::Dot::Query>(bytes_[dimension_[p]]);
            sum += column_[p];
        }
        fine.put(q, column_.data());
        bias[q] = LevelRows::Dot::kCentred ? 0 : -kLevelZero * sum;
        unit[q] = fine_scale == 0 && near_scale > 0 ? 1.0f : fine_scale;
        ratio[q] = unit[q] > 0 ? near_scale / unit[q] : 0.0f;
    }

    Scratch<float> scaled_;
    Scratch<DotBytes::Query> bytes_;
    Scratch<LevelRows::Dot::Query> column_;
    Scratch<int64_t> dimension_;
};

// The sums over the lanes of each query. A query alone and among others gives the same bits: its lanes are
// moved to the front and padded before they are added.
class QuerySums {
public:
    // `weights` is of each lane.
    QuerySums(const MaxsimScaledArgs& args, const float* weights)
        : args_(args), values_(round_up(args.nq > 0 ? args.nq : 1, 16)), weights_(args.nq + 16 * args.nqueries) {
        if (!*this) return;
        each([&](int64_t, int64_t begin, int64_t count, int64_t padded) {
            __builtin_memcpy(weights_.data() + padded, weights + begin, static_cast<size_t>(count) * sizeof(float));
        });
    }

    explicit operator bool() const { return values_ && weights_; }

    PLAIT_INLINE void put(int64_t doc, const float* best) const {
        each([&](int64_t query, int64_t begin, int64_t count, int64_t padded) {
            const int64_t lanes = padded_lanes(count);
            for (int64_t lane = 0; lane < count; ++lane) values_[lane] = best[begin + lane];
            for (int64_t lane = count; lane < lanes; ++lane) values_[lane] = 0.0f;
            args_.scores[query * args_.docs.count + doc] = sum_lanes(values_.data(), weights_.data() + padded, lanes);
        });
    }

    void put_empty(int64_t doc) const {
        for (int64_t query = 0; query < args_.nqueries; ++query)
            args_.scores[query * args_.docs.count + doc] = kMinusInfinity;
    }

private:
    static PLAIT_INLINE int64_t padded_lanes(int64_t count) { return round_up(count > 0 ? count : 1, 16); }

    template <class Each>
    PLAIT_INLINE void each(const Each& visit) const {
        int64_t begin = 0, padded = 0;
        for (int64_t query = 0; query < args_.nqueries; ++query) {
            const int64_t count = args_.query_ends[query] - begin;
            visit(query, begin, count, padded);
            begin += count;
            padded += padded_lanes(count);
        }
    }

    const MaxsimScaledArgs& args_;
    Scratch<float> values_, weights_;
};

// The distinct codes of the documents to score, numbered in ascending order.
class CodeSet {
public:
    CodeSet() : bits_(kCodes / 64), numbers_(kCodes, false) {}

    explicit operator bool() const { return bits_ && numbers_; }

    Status mark(const Docs& docs, const uint16_t* codes, int64_t ncentroids) {
        for (int64_t j = 0; j < docs.count; ++j) {
            Range range;
            if (const Status status = find_range(docs, j, range); status.fault != Fault::none) return status;
            fetch(docs, codes, j);
            if (const Status status = check_short_codes(codes, range, ncentroids); status.fault != Fault::none)
                return status;
            for (int64_t i = range.begin; i < range.end; ++i) bits_[codes[i] / 64] |= uint64_t{1} << (codes[i] % 64);
        }
        for (int64_t word = 0; word < kCodes / 64; ++word)
            for (uint64_t bits = bits_[word]; bits; bits &= bits - 1)
                numbers_[word * 64 + __builtin_ctzll(bits)] = static_cast<uint16_t>(count_++);
        return kDone;
    }

    int64_t count() const { return count_; }
    const uint16_t* numbers() const { return numbers_.data(); }  // of each code; anything if it is not in the set

    // `codes` has room for count().
    void list(uint16_t* codes) const {
        for (int64_t word = 0; word < kCodes / 64; ++word)
            for (uint64_t bits = bits_[word]; bits; bits &= bits - 1)
                *codes++ = static_cast<uint16_t>(word * 64 + __builtin_ctzll(bits));
    }

private:
    static constexpr int64_t kCodes = 65536;

    static PLAIT_INLINE void fetch(const Docs& docs, const uint16_t* codes, int64_t j) {
        Range later;
        if (j + 4 < docs.count && find_range(docs, j + 4, later).fault == Fault::none)
            prefetch_range(codes + later.begin, later.size() * 2);
        if (j + 12 < docs.count && docs.docs[j + 12] < docs.ndocs) prefetch(docs.offsets + docs.docs[j + 12]);
    }

    Scratch<uint64_t> bits_;
    Scratch<uint16_t> numbers_;
    int64_t count_ = 0;
};

struct NearJob {
    const int32_t* bias;
    const float* ratio;
    const float* scales;
    const uint16_t* codes;  // of the tile's first row
    float* table;           // likewise
    int64_t lanes;

    PLAIT_INLINE I32 start(int, int64_t lane) const { return PLAIT_ISA::load(bias + lane); }
    PLAIT_INLINE Nothing load(int64_t) const { return {}; }
    PLAIT_INLINE void save(int64_t, Nothing) const {}
    PLAIT_INLINE void finish(int row, int64_t lane, I32 dot, Nothing&) const {
        const F32 value = multiply(to_float(dot), splat(scales[codes[row]]));
        store(table + row * lanes + lane, multiply(value, PLAIT_ISA::load(ratio + lane)));
    }
};

// One row of u8 centroids as the dot product wants it.
PLAIT_INLINE void copy_centroid(const uint8_t* from, int64_t width, DotBytes::Row* to) {
    if constexpr (sizeof(DotBytes::Row) == 1) {
        int64_t d = 0;
        for (; d + 4 * kWidth <= width; d += 4 * kWidth)
            store(reinterpret_cast<int32_t*>(to + d), load(reinterpret_cast<const int32_t*>(from + d)));
        for (; d < width; d += 8) __builtin_memcpy(to + d, from + d, 8);
    } else {
        const int zero = DotBytes::kCentred ? kCentroidZero : 0;
        for (int64_t d = 0; d < width; ++d) to[d] = static_cast<DotBytes::Row>(from[d] - zero);
    }
}

// The query's scores of the centroids that are needed, f32 [count][lanes].
Status fill_near_table(const ScaledCodec& codec, const ScaledQuery& query, const uint16_t* codes, int64_t count,
                       float* table) {
    constexpr int kTile = DotBytes::kTile;
    const int64_t stride = round_up(codec.width, 64) + 64;
    Scratch<DotBytes::Row> rows(kTile * stride);
    if (!rows) return {Fault::memory, 0};
    NearJob job{query.near.bias.data(), query.ratio.data(), codec.centroid_scales, nullptr, nullptr, query.lanes};
    for_tiles<kTile>(count, [&](auto tile, int64_t first) {
        for (int64_t i = first + 2 * kTile; i < smaller_of(count, first + 3 * kTile); ++i)
            prefetch_range(codec.centroids + codes[i] * codec.width, codec.width);
        for (int i = 0; i < tile.value; ++i)
            copy_centroid(codec.centroids + codes[first + i] * codec.width, codec.width, rows.data() + i * stride);
        job.codes = codes + first;
        job.table = table + first * query.lanes;
        multiply_tile<DotBytes, tile.value>(job, rows.data(), stride, query.near.packed);
    });
    return kDone;
}

struct Gain {
    float a, b;
};

// A table of this size was just written and is still in the cache; to fetch its rows ahead costs more than
// it brings (decision 0021).
constexpr int64_t kCachedTable = 1 << 19;

struct ScaledJob {
    static constexpr int kRows = LevelRows::Dot::kTile > 8 ? LevelRows::Dot::kTile : 8;
    const int32_t* bias;
    float* best;
    const float* table;
    const uint16_t* numbers;
    int64_t lanes;
    // Of the tile's rows.
    const float* near[kRows];
    Gain gains[kRows];

    // Not inline: where the number of rows is known gcc packs their addresses into vectors, at twice the time.
    [[gnu::noinline]] void move_to(const MaxsimScaledArgs& args, int64_t at, int count) {
        for (int row = 0; row < count; ++row) {
            near[row] = table + numbers[args.tokens.codes[at + row]] * lanes;
            gains[row] = unaligned<Gain>(args.codec.gain_values + 2 * args.tokens.gains[at + row]);
        }
    }

    PLAIT_INLINE I32 start(int, int64_t lane) const { return PLAIT_ISA::load(bias + lane); }
    PLAIT_INLINE F32 load(int64_t lane) const { return PLAIT_ISA::load(best + lane); }
    PLAIT_INLINE void save(int64_t lane, F32 value) const { store(best + lane, value); }
    PLAIT_INLINE void finish(int row, int64_t lane, I32 dot, F32& value) const {
        const F32 centre = multiply(splat(gains[row].a), PLAIT_ISA::load(near[row] + lane));
        value = larger(centre + multiply(splat(gains[row].b), to_float(dot)), value);
    }
};

Status score_scaled(const MaxsimScaledArgs& args, const LevelRows& level_rows, const ScaledQuery& query,
                    const CodeSet& set, const float* table) {
    using Dot = LevelRows::Dot;
    const ScaledTokens& tokens = args.tokens;
    const int64_t row_bytes = args.codec.row_bytes, lanes = query.lanes;
    // Rows that lie a power of two apart would compete for the same cache sets.
    const int64_t stride = round_up(level_rows.positions(), 64) + 64;
    Scratch<Dot::Row> rows(Dot::kTile * stride + 64);
    Scratch<float> best(lanes);
    const QuerySums sums(args, query.unit.data());
    if (!rows || !best || !sums) return {Fault::memory, 0};
    const uint8_t* const end = tokens.rows + tokens.count * row_bytes;
    const auto near = [table, numbers = set.numbers(), lanes](int64_t code) { return table + numbers[code] * lanes; };
    const int64_t table_bytes = set.count() * lanes * 4;
    ScaledAhead ahead(args, near, table_bytes > kCachedTable ? lanes * 4 : 0);
    ScaledJob job{query.bias.data(), best.data(), table, set.numbers(), lanes, {}, {}};
    for (int64_t j = 0; j < args.docs.count; ++j) {
        Range range;
        if (const Status status = find_range(args.docs, j, range); status.fault != Fault::none) return status;
        ahead.move_to(j);
        if (!range.size()) {
            sums.put_empty(j);
            continue;
        }
        for (int64_t lane = 0; lane < lanes; ++lane) best[lane] = kMinusInfinity;
        for_tiles<Dot::kTile>(range.size(), [&](auto tile, int64_t first) {
            const int64_t at = range.begin + first;
            level_rows.decode(tokens.rows + at * row_bytes, row_bytes, tile.value, end, rows.data(), stride);
            job.move_to(args, at, tile.value);
            ahead.fetch(tile.value);
            multiply_tile<Dot, tile.value>(job, rows.data(), stride, query.fine);
        });
        ahead.fetch(INT64_MAX / 2);
        sums.put(j, best.data());
    }
    return kDone;
}

Status maxsim_scaled(const MaxsimScaledArgs& args) {
    const LevelRows level_rows(args.codec.bits);
    CodeSet set;
    if (!level_rows || !set) return {Fault::memory, 0};
    if (const Status status = set.mark(args.docs, args.tokens.codes, args.codec.ncentroids);
        status.fault != Fault::none)
        return status;
    const ScaledQuery query(args, level_rows);
    Scratch<uint16_t> codes(set.count(), false);
    Scratch<float> table(set.count() * query.lanes, false);
    if (!query || !codes || !table) return {Fault::memory, 0};
    set.list(codes.data());
    if (const Status status = fill_near_table(args.codec, query, codes.data(), set.count(), table.data());
        status.fault != Fault::none)
        return status;
    return score_scaled(args, level_rows, query, set, table.data());
}

Status maxsim_decoded(const MaxsimScaledArgs& args) {
    constexpr int kTile = DotFloat::kTile;
    static_assert(kTile <= ScaledDecoder::kRows);
    const ScaledCodec& codec = args.codec;
    const int64_t lanes = round_up(args.nq > 0 ? args.nq : 1, 16), stride = round_up(codec.width, 16) + 16;
    const ScaledDecoder decoder(args.tokens, codec);
    PackedQuery<DotFloat> query(lanes, codec.width);
    Scratch<float> best(lanes), ones(lanes), rows(ScaledDecoder::kRows * stride);
    if (!decoder || !query.data || !best || !ones || !rows) return {Fault::memory, 0};
    for (int64_t q = 0; q < args.nq; ++q) {
        query.put(q, args.query + q * codec.width);
        ones[q] = 1.0f;
    }
    const QuerySums sums(args, ones.data());
    if (!sums) return {Fault::memory, 0};
    const MaxsimJob job{best.data()};
    const auto near = [centroids = codec.centroids, width = codec.width](int64_t code) {
        return centroids + code * width;
    };
    ScaledAhead ahead(args, near, codec.width);
    for (int64_t j = 0; j < args.docs.count; ++j) {
        Range range;
        if (const Status status = find_range(args.docs, j, range); status.fault != Fault::none) return status;
        if (const Status status = check_short_codes(args.tokens.codes, range, codec.ncentroids);
            status.fault != Fault::none)
            return status;
        ahead.move_to(j);
        if (!range.size()) {
            sums.put_empty(j);
            continue;
        }
        for (int64_t lane = 0; lane < lanes; ++lane) best[lane] = lane < args.nq ? kMinusInfinity : 0.0f;
        for_tiles<kTile>(range.size(), [&](auto tile, int64_t first) {
            decoder.decode(range.begin + first, tile.value, rows.data(), stride);
            ahead.fetch(tile.value);
            multiply_tile<DotFloat, tile.value>(job, rows.data(), stride, query);
        });
        ahead.fetch(INT64_MAX / 2);
        sums.put(j, best.data());
    }
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
