// Query tokens of the scaled codec merged, the best rows of groups, and the lists of documents: candidates are
// gathered from these in gather.h (src/plait/kernels/reference_scaled.py).
#pragma once

#include "ivf.h"
#include "scaled.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr uint32_t kNoRow = 0xffffffffu;

// Rows of floats, each padded with zeros to whole blocks of 16.
class PaddedRows {
public:
    PaddedRows(const float* rows, int64_t count, int64_t width) : padded_(round_up(width, 16)), data_(count * padded_) {
        if (!data_) return;
        for (int64_t i = 0; i < count; ++i)
            __builtin_memcpy(row(i), rows + i * width, static_cast<size_t>(width) * sizeof(float));
    }
    explicit operator bool() const { return static_cast<bool>(data_); }
    int64_t padded() const { return padded_; }
    float* row(int64_t i) const { return data_.data() + i * padded_; }

private:
    int64_t padded_;
    Scratch<float> data_;
};

Status merge_tokens(MergeTokensArgs& args) {
    const PaddedRows query(args.query, args.nq, args.width);
    Scratch<float> norms(args.nq);
    Scratch<int64_t> firsts(args.nq);
    if (!query || !norms || !firsts) return {Fault::memory, 0};
    args.found = 0;
    for (int64_t q = 0; q < args.nq; ++q) {
        norms[q] = __builtin_sqrtf(dot_of(query.row(q), query.row(q), query.padded()));
        int64_t group = 0;
        for (; group < args.found; ++group) {
            const float near = dot_of(query.row(q), query.row(firsts[group]), query.padded());
            if (near >= args.similarity * (norms[q] * norms[firsts[group]])) break;
        }
        float* sum = args.merged + group * args.width;
        const float* row = args.query + q * args.width;
        if (group < args.found) {
            for (int64_t d = 0; d < args.width; ++d) sum[d] += row[d];
        } else {
            firsts[args.found++] = q;
            __builtin_memcpy(sum, row, static_cast<size_t>(args.width) * sizeof(float));
        }
    }
    return kDone;
}

// The `count` largest of keys, in any order, by digits from the top: moved to the front.
template <int kDigit>
inline void keep_largest(uint64_t* keys, int64_t size, int64_t count, uint64_t* spare, int key_bits) {
    uint64_t* out = keys;  // `keys[:out]` are chosen; never ahead of what is read
    uint64_t* rest = keys;
    for (int shift = key_bits - kDigit; size > count; shift -= kDigit) {
        if (shift < 0) shift = 0;
        int32_t sizes[1 << kDigit] = {};
        const auto digit = [&](uint64_t key) { return static_cast<int>(key >> shift) & ((1 << kDigit) - 1); };
        for (int64_t i = 0; i < size; ++i) ++sizes[digit(rest[i])];
        int last = (1 << kDigit) - 1;
        int64_t above = 0;
        while (above + sizes[last] < count) above += sizes[last--];
        int64_t equal = 0;
        for (int64_t i = 0; i < size; ++i) {
            const uint64_t key = rest[i];
            if (digit(key) > last) *out++ = key;
            else if (digit(key) == last) spare[equal++] = key;
        }
        count -= above;
        size = equal;
        rest = spare;
    }
    if (rest == spare)
        for (int64_t i = 0; i < count; ++i) *out++ = spare[i];
}

// Ascending by the bits [from, to), an even number of bytes; keys that agree in these stay in their order.
inline void sort_by_bits(uint64_t* keys, int64_t size, uint64_t* spare, int from, int to) {
    for (int shift = from; shift < to; shift += 8) {
        int64_t ends[257] = {};
        for (int64_t i = 0; i < size; ++i) ++ends[(keys[i] >> shift & 255) + 1];
        for (int digit = 0; digit < 256; ++digit) ends[digit + 1] += ends[digit];
        for (int64_t i = 0; i < size; ++i) spare[ends[keys[i] >> shift & 255]++] = keys[i];
        uint64_t* other = keys;
        keys = spare;
        spare = other;
    }
}

// Scores of rows as numbers that order as they do, above the complement of the row: of equal scores the row that
// comes first is larger. 0 is below every key.
PLAIT_INLINE uint64_t key_of_row(float score, int64_t row) {
    return static_cast<uint64_t>(static_cast<uint32_t>(ordered(score)) ^ 0x80000000u) << 32 |
           (0xffffffffu - static_cast<uint32_t>(row));
}
PLAIT_INLINE float score_of_row(uint64_t key) {
    return unordered(static_cast<int32_t>(static_cast<uint32_t>(key >> 32) ^ 0x80000000u));
}

// The rows with the largest scores, of those offered. More than wanted are kept, and now and then cut back: a heap
// would cost more than scoring the rows.
class BestRows {
public:
    explicit BestRows(int64_t count)
        : count_(count), room_(2 * count + 256), keys_(room_, false), spare_(room_, false) {}
    explicit operator bool() const { return keys_ && spare_; }

    void clear() {
        size_ = 0;
        floor_ = kMinusInfinity;
    }

    // Sixteen scores, of the row `first` and those after it; minus infinity is never kept.
    PLAIT_INLINE void offer(const float* scores, int64_t first) {
        const uint32_t above = above16(scores, floor_);
        if (above) keep(scores, above, first);
    }

    // Best first, of equal scores the lower row first; returns how many there are.
    int64_t write(uint32_t* rows, float* scores) {
        cut();
        uint64_t* keys = keys_.data();
        sort_by_bits(keys, size_, spare_.data(), 32, 64);
        bool sorted = true;  // unless scores are equal
        for (int64_t i = 1; i < size_; ++i) sorted &= keys[i - 1] < keys[i];
        if (!sorted) sort_by_bits(keys, size_, spare_.data(), 0, 64);
        for (int64_t i = 0; i < size_; ++i) {
            const uint64_t key = keys[size_ - 1 - i];
            rows[i] = 0xffffffffu - static_cast<uint32_t>(key);
            scores[i] = score_of_row(key);
        }
        return size_;
    }

private:
    void keep(const float* scores, uint32_t above, int64_t first) {
        if (size_ + 16 > room_) cut();
        for (; above; above &= above - 1) {
            const int64_t i = __builtin_ctz(above);
            keys_[size_++] = key_of_row(scores[i], first + i);
        }
    }

    void cut() {
        if (size_ <= count_) return;
        keep_largest<8>(keys_.data(), size_, count_, spare_.data(), 64);
        size_ = count_;
        uint64_t smallest = ~uint64_t{0};
        for (int64_t i = 0; i < size_; ++i) smallest = keys_[i] < smallest ? keys_[i] : smallest;
        // Rows need not come in order, so one as good as the smallest may still replace it. Two below in the order
        // of `ordered`, because one below 0 is -0, which no comparison tells from it.
        floor_ = unordered(ordered(score_of_row(smallest)) - 2);
    }

    const int64_t count_, room_;
    Scratch<uint64_t> keys_, spare_;
    int64_t size_ = 0;
    float floor_ = kMinusInfinity;
};

// The best rows for one query token at a time; groups are visited in the order they were probed in, best
// first, so that the smallest score kept rises early.
class RowSearch {
public:
    explicit RowSearch(const TopRowsArgs& args)
        : args_(args), query_(round_up(args.width, 64)), best_(args.count) {}
    explicit operator bool() const { return query_ && best_; }

    Status run(int64_t token) {
        const float* vector = args_.query + token * args_.width;
        uint32_t top = 0;
        for (int64_t d = 0; d < args_.width; ++d) {
            const uint32_t magnitude = unaligned<uint32_t>(vector + d) & 0x7fffffff;
            top = magnitude > top ? magnitude : top;
        }
        query_scale_ = unaligned<float>(&top) / 127.0f;
        quantise_to(vector, unaligned<float>(&top));
        best_.clear();
        const uint32_t* probes = args_.probes + token * args_.nprobes;
        for (int64_t i = 0; i < args_.nprobes; ++i) {
            if (probes[i] == kNoRow) continue;
            if (probes[i] >= args_.ngroups) return {Fault::probe, token * args_.nprobes + i};
            const int64_t group = probes[i];
            const int64_t begin = args_.group_offsets[group], end = args_.group_offsets[group + 1];
            if (begin < 0 || begin > end || end > args_.nrows)
                return {Fault::list, begin < 0 || begin > args_.nrows ? group : group + 1};
            visit(begin, end, i + 1 < args_.nprobes ? group_of(probes[i + 1]) : Range{0, 0});
        }
        write(token);
        return kDone;
    }

private:
    void quantise_to(const float* vector, float top) {
        const float up = top > 0 ? 127.0f / top : 0.0f;
        sum_ = 0;
        for (int64_t d = 0; d < args_.width; ++d) {
            // As in `quantise`.
            const float sum = vector[d] * up + 12582912.0f;
            query_[d] = static_cast<int8_t>(unaligned<uint32_t>(&sum));
            sum_ += query_[d];
        }
    }

    // The rows of a group that is visited next; none if there is no such group.
    Range group_of(uint32_t group) const {
        if (group >= args_.ngroups) return {0, 0};
        const int64_t begin = args_.group_offsets[group], end = args_.group_offsets[group + 1];
        return begin < 0 || begin > end || end > args_.nrows ? Range{0, 0} : Range{begin, end};
    }

    // Groups lie anywhere, so while the rows of one are scored those of the next are fetched.
    void visit(int64_t begin, int64_t end, Range next) {
        alignas(64) int32_t sums[16];
        alignas(64) float scores[16];
        const int32_t bias = kCentroidZero * sum_;
        for (int64_t first = begin; first < end; first += 16) {
            const int64_t count = smaller_of<int64_t>(16, end - first);
            if (next.begin < next.end) fetch(next.begin, smaller_of<int64_t>(16, next.end - next.begin));
            next.begin += 16;
            dot_rows(args_.rows + first * args_.width, args_.width, count, query_.data(), sums);
            for (int64_t i = 0; i < count; ++i)
                scores[i] = (static_cast<float>(sums[i] - bias) * args_.row_scales[first + i]) * query_scale_;
            for (int64_t i = count; i < 16; ++i) scores[i] = kMinusInfinity;
            best_.offer(scores, first);
        }
        if (begin == end && next.begin < next.end) fetch(next.begin, smaller_of<int64_t>(16, next.size()));
    }

    void fetch(int64_t row, int64_t count) const {
        prefetch_range(args_.rows + row * args_.width, count * args_.width);
        prefetch_range(args_.row_scales + row, count * static_cast<int64_t>(sizeof(float)));
    }

    void write(int64_t token) {
        uint32_t* rows = args_.best + token * args_.count;
        float* scores = args_.scores + token * args_.count;
        for (int64_t i = best_.write(rows, scores); i < args_.count; ++i) {
            rows[i] = kNoRow;
            scores[i] = kMinusInfinity;
        }
    }

    const TopRowsArgs& args_;
    Scratch<int8_t> query_;
    BestRows best_;
    float query_scale_ = 0;
    int32_t sum_ = 0;
};

Status top_rows(const TopRowsArgs& args) {
    if (!args.count) return kDone;
    RowSearch search(args);
    if (!search) return {Fault::memory, 0};
    for (int64_t token = 0; token < args.nq; ++token)
        if (const Status status = search.run(token); status.fault != Fault::none) return status;
    return kDone;
}

// Calls `put(list, doc)` once for each list that a document has a token in.
template <class Code, class Put>
PLAIT_INLINE void each_listed(const InvertArgs& args, uint32_t* last, const Put& put) {
    const Code* codes = static_cast<const Code*>(args.codes);
    for (int64_t doc = 0; doc < args.ndocs; ++doc)
        for (int64_t i = args.offsets[doc]; i < args.offsets[doc + 1]; ++i) {
            const int64_t code = codes[i];
            if (last[code] == doc + 1) continue;
            last[code] = static_cast<uint32_t>(doc + 1);
            put(code, doc);
        }
}

template <class Code>
Status count_listed(InvertArgs& args) {
    Scratch<uint32_t> last(args.nlists);
    if (!last) return {Fault::memory, 0};
    const Code* codes = static_cast<const Code*>(args.codes);
    for (int64_t i = 0; i < args.ntokens; ++i)
        if (codes[i] >= args.nlists) return {Fault::code, i};
    each_listed<Code>(args, last.data(), [&](int64_t code, int64_t) { ++args.lengths[code]; });
    return kDone;
}

template <class Code, int kBytes>
Status fill_lists(const InvertArgs& args) {
    Scratch<uint32_t> last(args.nlists);
    Scratch<int64_t> next(args.nlists);
    if (!last || !next) return {Fault::memory, 0};
    for (int64_t list = 0, at = 0; list < args.nlists; at += args.lengths[list++]) next[list] = at;
    each_listed<Code>(args, last.data(), [&](int64_t code, int64_t doc) {
        const uint32_t value = static_cast<uint32_t>(doc);
        __builtin_memcpy(args.docs + next[code]++ * kBytes, &value, kBytes);
    });
    return kDone;
}

template <class Code>
Status fill_lists_of(const InvertArgs& args) {
    if (args.nbytes == 2) return fill_lists<Code, 2>(args);
    return args.nbytes == 3 ? fill_lists<Code, 3>(args) : fill_lists<Code, 4>(args);
}

// Called twice: without documents it counts, with room for them it writes them.
Status invert(InvertArgs& args) {
    for (int64_t doc = 0; doc < args.ndocs; ++doc)
        if (args.offsets[doc] < 0 || args.offsets[doc] > args.offsets[doc + 1] || args.offsets[doc + 1] > args.ntokens)
            return {Fault::offset, doc};
    if (!args.docs) return args.code_bytes == 2 ? count_listed<uint16_t>(args) : count_listed<uint32_t>(args);
    return args.code_bytes == 2 ? fill_lists_of<uint16_t>(args) : fill_lists_of<uint32_t>(args);
}

}  // namespace
}  // namespace plait::PLAIT_ISA
