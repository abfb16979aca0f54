// Candidates of the scaled codec: query tokens merged, the best rows of groups, documents from lists, and
// the lists themselves (src/plait/kernels/reference_scaled.py).
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

// The best rows for one query token at a time; groups are visited in the order they were probed in, best
// first, so that the smallest score kept rises early.
class RowSearch {
public:
    explicit RowSearch(const TopRowsArgs& args) : args_(args), query_(round_up(args.width, 64)), keys_(args.count) {}
    explicit operator bool() const { return query_ && keys_; }

    Status run(int64_t token) {
        const float* vector = args_.query + token * args_.width;
        uint32_t top = 0;
        for (int64_t d = 0; d < args_.width; ++d) {
            const uint32_t magnitude = unaligned<uint32_t>(vector + d) & 0x7fffffff;
            top = magnitude > top ? magnitude : top;
        }
        query_scale_ = unaligned<float>(&top) / 127.0f;
        quantise_to(vector, unaligned<float>(&top));
        for (int64_t i = 0; i < args_.count; ++i) keys_[i] = INT64_MIN;
        floor_ = kMinusInfinity;
        for (int64_t i = 0; i < args_.nprobes; ++i) {
            const int64_t at = token * args_.nprobes + i;
            if (args_.probes[at] == kNoRow) continue;
            if (args_.probes[at] >= args_.ngroups) return {Fault::probe, at};
            const int64_t group = args_.probes[at];
            const int64_t begin = args_.group_offsets[group], end = args_.group_offsets[group + 1];
            if (begin < 0 || begin > end || end > args_.nrows)
                return {Fault::list, begin < 0 || begin > args_.nrows ? group : group + 1};
            visit(begin, end);
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

    void visit(int64_t begin, int64_t end) {
        alignas(64) int32_t sums[16];
        alignas(64) float scores[16];
        const int32_t bias = kCentroidZero * sum_;
        for (int64_t first = begin; first < end; first += 16) {
            const int64_t count = smaller_of<int64_t>(16, end - first);
            dot_rows(args_.rows + first * args_.width, args_.width, count, query_.data(), sums);
            for (int64_t i = 0; i < count; ++i)
                scores[i] = (static_cast<float>(sums[i] - bias) * args_.row_scales[first + i]) * query_scale_;
            for (int64_t i = count; i < 16; ++i) scores[i] = kMinusInfinity;
            for (uint32_t above = above16(scores, floor_); above; above &= above - 1)
                offer(scores[__builtin_ctz(above)], first + __builtin_ctz(above));
        }
    }

    void offer(float score, int64_t row) {
        const int64_t key = key_of(ordered(score), row);
        Largest best(keys_.data(), args_.count);
        if (key <= best.smallest()) return;
        best.replace_smallest(key);
        // Rows do not come in order, so one as good as the smallest may still replace it. Two below in the order
        // of `ordered`, because one below 0 is -0, which no comparison tells from it.
        if (best.smallest() != INT64_MIN) floor_ = unordered(static_cast<int32_t>((best.smallest() >> 32) - 2));
    }

    void write(int64_t token) {
        Largest(keys_.data(), args_.count).sort();
        for (int64_t i = 0; i < args_.count; ++i) {
            const bool found = keys_[i] != INT64_MIN;
            args_.best[token * args_.count + i] = found ? position_of(keys_[i]) : kNoRow;
            args_.scores[token * args_.count + i] =
                found ? unordered(static_cast<int32_t>(keys_[i] >> 32)) : kMinusInfinity;
        }
    }

    const TopRowsArgs& args_;
    Scratch<int8_t> query_;
    Scratch<int64_t> keys_;
    float query_scale_ = 0, floor_ = 0;
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

// Documents in lists, in 2, 3 or 4 bytes.
template <int kBytes>
struct ListDocs {
    const uint8_t* data;
    int64_t count;

    PLAIT_INLINE uint32_t operator[](int64_t i) const {
        const uint8_t* at = data + i * kBytes;
        if constexpr (kBytes == 2) return unaligned<uint16_t>(at);
        if constexpr (kBytes == 4) return unaligned<uint32_t>(at);
        if (i + 1 < count) return unaligned<uint32_t>(at) & 0xffffff;
        return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16;
    }
};

struct Met {
    uint32_t doc;    // 1 + the document; 0: none
    uint32_t token;  // 1 + the last query token that met it
    float score;
};

// A score for each document met. Few of many documents are met, so they are found by hashing, unless
// there are so few documents that each may have its own place.
class Scores {
public:
    Scores(int64_t postings, int64_t ndocs)
        : bits_(table_bits(smaller_of(postings, ndocs))), hashed_(ndocs > int64_t{1} << bits_),
          entries_(hashed_ ? int64_t{1} << bits_ : ndocs), touched_(smaller_of(postings, ndocs)) {}

    explicit operator bool() const { return entries_ && touched_; }
    int64_t found() const { return found_; }
    const Met& operator[](int64_t i) const { return entries_[touched_[i]]; }

    PLAIT_INLINE void fetch(uint32_t doc) const { prefetch(entries_.data() + place_of(doc)); }

    PLAIT_INLINE void add(uint32_t doc, uint32_t token, float gain) {
        uint32_t place = place_of(doc);
        if (hashed_) {
            const uint32_t mask = (uint32_t{1} << bits_) - 1;
            while (entries_[place].doc && entries_[place].doc != doc + 1) place = (place + 1) & mask;
        }
        Met& entry = entries_[place];
        if (!entry.doc) {
            touched_[found_++] = place;
            entry.doc = doc + 1;
        }
        if (entry.token == token) return;
        entry.token = token;
        entry.score += gain;
    }

private:
    static int table_bits(int64_t most) {
        int bits = 10;
        while (bits < 31 && int64_t{1} << bits < 2 * most) ++bits;
        return bits;
    }
    PLAIT_INLINE uint32_t place_of(uint32_t doc) const {
        return hashed_ ? (doc * 0x9e3779b1u) >> (32 - bits_) : doc;
    }

    int bits_;
    bool hashed_;
    Scratch<Met> entries_;
    Scratch<uint32_t> touched_;
    int64_t found_ = 0;
};

// The `count` largest of keys, in any order, by digits from the top: moved to the front.
inline void keep_largest(uint64_t* keys, int64_t size, int64_t count, uint64_t* spare) {
    constexpr int kDigit = 11;
    uint64_t* out = keys;  // `keys[:out]` are chosen; never ahead of what is read
    uint64_t* rest = keys;
    for (int shift = 64 - kDigit; size > count; shift -= kDigit) {
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

// Ascending by the low 32 bits.
inline void sort_by_low(uint64_t* keys, int64_t size, uint64_t* spare) {
    for (int shift = 0; shift < 32; shift += 8) {
        int64_t ends[257] = {};
        for (int64_t i = 0; i < size; ++i) ++ends[(keys[i] >> shift & 255) + 1];
        for (int digit = 0; digit < 256; ++digit) ends[digit + 1] += ends[digit];
        for (int64_t i = 0; i < size; ++i) spare[ends[keys[i] >> shift & 255]++] = keys[i];
        uint64_t* other = keys;
        keys = spare;
        spare = other;
    }
}

Status check_lists(const GatherTopArgs& args, int64_t& postings) {
    postings = 0;
    for (int64_t i = 0; i < args.nq * args.nprobe; ++i) {
        if (args.lists[i] == kNoRow) continue;
        if (args.lists[i] >= args.nlists) return {Fault::probe, i};
        const int64_t list = args.lists[i];
        const int64_t begin = args.list_offsets[list], end = args.list_offsets[list + 1];
        if (begin < 0 || begin > end || end > args.nlisted)
            return {Fault::list, begin < 0 || begin > args.nlisted ? list : list + 1};
        postings += end - begin;
    }
    return kDone;
}

template <int kBytes>
PLAIT_INLINE Status visit_list(const GatherTopArgs& args, int64_t list, uint32_t token, float gain, Scores& scores) {
    constexpr int64_t kAhead = 12;
    const ListDocs<kBytes> docs{args.list_docs, args.nlisted};
    const int64_t begin = args.list_offsets[list], end = args.list_offsets[list + 1];
    for (int64_t i = begin; i < end; ++i) {
        if (i + kAhead < end && docs[i + kAhead] < args.ndocs) scores.fetch(docs[i + kAhead]);
        const uint32_t doc = docs[i];
        if (doc >= args.ndocs) return {Fault::pid, i};
        if (args.allowed && !args.allowed[doc]) continue;
        scores.add(doc, token, gain);
    }
    return kDone;
}

template <int kBytes>
Status gather_lists(const GatherTopArgs& args, Scores& scores) {
    for (int64_t token = 0; token < args.nq; ++token) {
        const uint32_t* lists = args.lists + token * args.nprobe;
        const float* values = args.scores + token * args.nprobe;
        int64_t count = 0;
        for (int64_t i = 0; i < args.nprobe; ++i) count += lists[i] != kNoRow;
        for (int64_t i = 0; i < count; ++i) {
            if (lists[i] == kNoRow) continue;
            if (i + 1 < count && lists[i + 1] != kNoRow)
                prefetch_range(args.list_docs + args.list_offsets[lists[i + 1]] * kBytes, 256);
            const float gain = values[i] - values[count - 1];
            const Status status = visit_list<kBytes>(args, lists[i], static_cast<uint32_t>(token + 1), gain, scores);
            if (status.fault != Fault::none) return status;
        }
    }
    return kDone;
}

Status gather_top(GatherTopArgs& args) {
    int64_t postings;
    if (const Status status = check_lists(args, postings); status.fault != Fault::none) return status;
    Scores scores(postings, args.ndocs);
    if (!scores) return {Fault::memory, 0};
    const Status status = args.nbytes == 2   ? gather_lists<2>(args, scores)
                          : args.nbytes == 3 ? gather_lists<3>(args, scores)
                                             : gather_lists<4>(args, scores);
    if (status.fault != Fault::none) return status;
    const int64_t met = scores.found();
    args.found = smaller_of(met, args.count);
    Scratch<uint64_t> keys(met), spare(met);
    if (!keys || !spare) return {Fault::memory, 0};
    for (int64_t i = 0; i < met; ++i) {
        const Met& entry = scores[i];
        const uint32_t rank = static_cast<uint32_t>(ordered(entry.score)) ^ 0x80000000u;
        keys[i] = static_cast<uint64_t>(rank) << 32 | (0xffffffffu - (entry.doc - 1));
    }
    keep_largest(keys.data(), met, args.found, spare.data());
    for (int64_t i = 0; i < args.found; ++i) keys[i] ^= 0xffffffffu;  // documents instead of their complements
    sort_by_low(keys.data(), args.found, spare.data());
    for (int64_t i = 0; i < args.found; ++i) {
        args.docs[i] = static_cast<uint32_t>(keys[i]);
        args.best[i] = unordered(static_cast<int32_t>(static_cast<uint32_t>(keys[i] >> 32) ^ 0x80000000u));
    }
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
