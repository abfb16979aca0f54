// Candidates of the scaled codec: query tokens merged, the best rows of groups, documents from lists, and
// the lists themselves (src/plait/kernels/reference_scaled.py).
#pragma once

#include "ivf.h"
#include "scaled.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr uint32_t kNoRow = 0xffffffffu;
constexpr int64_t kGroupsAhead = 2, kListsAhead = 2;

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
            if (i + kGroupsAhead < args_.nprobes) fetch(args_.probes[at + kGroupsAhead]);
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

    // The first rows of a group that is visited soon: small groups lie anywhere.
    void fetch(uint32_t group) const {
        if (group >= args_.ngroups) return;
        const int64_t begin = args_.group_offsets[group], end = args_.group_offsets[group + 1];
        if (begin < 0 || begin >= end || end > args_.nrows) return;
        prefetch_range(args_.rows + begin * args_.width, smaller_of<int64_t>(end - begin, 16) * args_.width);
        prefetch(args_.row_scales + begin);
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

// What a document has got so far: its score in the upper half, in the lower half 1 + the last query token
// that met it.
constexpr int kScoreShift = 16;
constexpr uint32_t kTokenMask = 0xffff;

// Documents whose scores are held at a time: half a megabyte, so that random additions stay in the cache. Of
// very many documents lists have too few in each block for that, so blocks are larger.
inline int64_t docs_per_block(int64_t ndocs) { return ndocs <= int64_t{1} << 22 ? 1 << 17 : 1 << 18; }

// Keys are a score in so many bits above the complement of a document, so that of equal scores the document
// that comes first is larger.
constexpr int kDocBits = 32, kKeyBits = kDocBits + 32 - kScoreShift;
PLAIT_INLINE uint64_t key_of_score(uint32_t score, int64_t doc) {
    return static_cast<uint64_t>(score) << kDocBits | (0xffffffffu - static_cast<uint32_t>(doc));
}

// The `count` largest of keys, in any order, by digits from the top: moved to the front.
inline void keep_largest(uint64_t* keys, int64_t size, int64_t count, uint64_t* spare) {
    constexpr int kDigit = 11;
    uint64_t* out = keys;  // `keys[:out]` are chosen; never ahead of what is read
    uint64_t* rest = keys;
    for (int shift = kKeyBits - kDigit; size > count; shift -= kDigit) {
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

// No document can get more than fits into 16 bits.
Status check_gains(const GatherTopArgs& args) {
    int64_t most = 0;
    for (int64_t token = 0; token < args.nq; ++token) {
        uint16_t largest = 0;
        for (int64_t i = token * args.nprobe; i < (token + 1) * args.nprobe; ++i)
            if (args.lists[i] != kNoRow) largest = args.gains[i] > largest ? args.gains[i] : largest;
        if ((most += largest) > 0xffff) return {Fault::gain, token};
    }
    return kDone;
}

Status check_lists(const GatherTopArgs& args) {
    for (int64_t i = 0; i < args.nq * args.nprobe; ++i) {
        if (args.lists[i] == kNoRow) continue;
        if (args.lists[i] >= args.nlists) return {Fault::probe, i};
        const int64_t list = args.lists[i];
        const int64_t begin = args.list_offsets[list], end = args.list_offsets[list + 1];
        if (begin < 0 || begin > end || end > args.nlisted)
            return {Fault::list, begin < 0 || begin > args.nlisted ? list : list + 1};
    }
    return check_gains(args);
}

// The keys with the largest scores seen so far: a few times as many as are wanted, cut back now and then.
class BestKeys {
public:
    explicit BestKeys(int64_t count)
        : count_(count), room_(4 * count + 2048), keys_(room_, false), spare_(room_, false),
          floor_(count ? 0 : kTokenMask) {}
    explicit operator bool() const { return keys_ && spare_; }

    // Documents with a score of so much or less are not among the best, if they come after all those before.
    uint32_t floor() const { return floor_; }

    // Room for so many more keys, which `take` then counts.
    PLAIT_INLINE uint64_t* room_for(int64_t more) {
        if (size_ + more > room_) cut();
        return keys_.data() + size_;
    }
    void take(int64_t more) { size_ += more; }
    void cut() {
        if (size_ <= count_) return;
        keep_largest(keys_.data(), size_, count_, spare_.data());
        size_ = count_;
        uint64_t floor = ~uint64_t{0};
        for (int64_t i = 0; i < size_; ++i) floor = keys_[i] < floor ? keys_[i] : floor;
        floor_ = static_cast<uint32_t>(floor >> kDocBits);
    }
    int64_t size() const { return size_; }
    uint64_t* keys() { return keys_.data(); }
    uint64_t* spare() { return spare_.data(); }

private:
    int64_t count_, room_;
    Scratch<uint64_t> keys_, spare_;
    int64_t size_ = 0;
    uint32_t floor_;
};

// Visits all lists once for each block of documents. Documents ascend in a list, so each list is read
// from where the block before left it. Few documents of a block are among the best, so all of its scores are
// compared with the smallest that still counts, many at a time; which documents were met is not kept.
template <int kBytes>
class Gathering {
public:
    static constexpr int64_t kLook = 64;

    explicit Gathering(const GatherTopArgs& args)
        : args_(args), docs_{args.list_docs, args.nlisted}, block_(docs_per_block(args.ndocs)),
          met_(round_up(smaller_of(block_, args.ndocs), kLook)), next_(args.nq * args.nprobe), counts_(args.nq),
          best_(args.count) {}
    explicit operator bool() const { return met_ && next_ && counts_ && best_; }
    BestKeys& best() { return best_; }

    Status run() {
        for (int64_t token = 0; token < args_.nq; ++token)
            for (int64_t i = 0; i < args_.nprobe; ++i) {
                const int64_t at = token * args_.nprobe + i;
                if (args_.lists[at] == kNoRow) continue;
                next_[at] = args_.list_offsets[args_.lists[at]];
                counts_[token] = i + 1;
            }
        for (int64_t first = 0; first < args_.ndocs; first += block_) {
            const int64_t end = smaller_of(args_.ndocs, first + block_);
            added_ = false;
            for (int64_t token = 0; token < args_.nq; ++token)
                if (const Status status = visit(token, first, end); status.fault != Fault::none) return status;
            if (added_) offer(first, end - first);
        }
        return ends();
    }

private:
    Status visit(int64_t token, int64_t first, int64_t end) {
        const uint32_t* lists = args_.lists + token * args_.nprobe;
        const uint16_t* gains = args_.gains + token * args_.nprobe;
        const int64_t count = counts_[token];
        for (int64_t i = 0; i < count; ++i) {
            if (lists[i] == kNoRow) continue;
            if (!first && i + kListsAhead < count && lists[i + kListsAhead] != kNoRow) fetch(lists[i + kListsAhead]);
            int64_t& next = next_[token * args_.nprobe + i];
            const int64_t stop = args_.list_offsets[lists[i] + 1];
            const Status status = args_.allowed ? add<true>(next, stop, first, end, token, gains[i])
                                                : add<false>(next, stop, first, end, token, gains[i]);
            if (status.fault != Fault::none) return status;
        }
        return kDone;
    }

    void fetch(int64_t list) const {
        const int64_t begin = args_.list_offsets[list], size = args_.list_offsets[list + 1] - begin;
        prefetch_range(args_.list_docs + begin * kBytes, smaller_of<int64_t>(size * kBytes, 1024));
    }

    template <bool kMasked>
    PLAIT_INLINE Status add(int64_t& next, int64_t stop, int64_t first, int64_t end, int64_t token, uint16_t gain) {
        const uint32_t stamp = static_cast<uint32_t>(token + 1), worth = static_cast<uint32_t>(gain) << kScoreShift;
        uint32_t* met = met_.data();
        int64_t i = next;
        for (; i < stop; ++i) {
            const uint32_t doc = docs_[i];
            if (doc >= end) break;
            if (doc < first) return {Fault::pid, i};
            if (kMasked && !args_.allowed[doc]) continue;
            const uint32_t entry = met[doc - first];
            // Without a branch: whether a document was met before is not predictable.
            const uint32_t fresh = uint32_t{0} - static_cast<uint32_t>((entry & kTokenMask) != stamp);
            met[doc - first] = ((entry & ~kTokenMask) | stamp) + (worth & fresh);
        }
        added_ |= i > next;
        next = i;
        return kDone;
    }

    void offer(int64_t first, int64_t count) {
        uint32_t* met = met_.data();
        for (int64_t i = 0; i < count; i += kLook) {
            // Entries with a larger score than the floor; a document that comes later loses a tie.
            const uint32_t floor = best_.floor() << kScoreShift | kTokenMask;
            uint32_t any = 0;
            for (int64_t j = 0; j < kLook; ++j) any |= static_cast<uint32_t>(met[i + j] > floor);
            if (!any) continue;
            uint64_t* keys = best_.room_for(kLook);
            int64_t more = 0;
            for (int64_t j = 0; j < kLook; ++j) {
                keys[more] = key_of_score(met[i + j] >> kScoreShift, first + i + j);
                more += met[i + j] > floor;
            }
            best_.take(more);
        }
        __builtin_memset(met, 0, static_cast<size_t>(count) * sizeof(uint32_t));
    }

    // What is left of a list after the last block is out of range, or out of order.
    Status ends() const {
        for (int64_t at = 0; at < args_.nq * args_.nprobe; ++at)
            if (args_.lists[at] != kNoRow && next_[at] < args_.list_offsets[args_.lists[at] + 1])
                return {Fault::pid, next_[at]};
        return kDone;
    }

    const GatherTopArgs& args_;
    const ListDocs<kBytes> docs_;
    const int64_t block_;
    Scratch<uint32_t> met_;
    Scratch<int64_t> next_, counts_;
    BestKeys best_;
    bool added_ = false;
};

template <int kBytes>
Status gather_best(GatherTopArgs& args) {
    Gathering<kBytes> gathering(args);
    if (!gathering) return {Fault::memory, 0};
    if (const Status status = gathering.run(); status.fault != Fault::none) return status;
    BestKeys& best = gathering.best();
    best.cut();
    args.found = best.size();
    uint64_t* keys = best.keys();
    for (int64_t i = 0; i < args.found; ++i) keys[i] ^= 0xffffffffu;  // documents instead of their complements
    sort_by_low(keys, args.found, best.spare());
    for (int64_t i = 0; i < args.found; ++i) {
        args.docs[i] = static_cast<uint32_t>(keys[i]);
        args.best[i] = static_cast<float>(keys[i] >> kDocBits);
    }
    return kDone;
}

Status gather_top(GatherTopArgs& args) {
    if (const Status status = check_lists(args); status.fault != Fault::none) return status;
    if (args.nbytes == 2) return gather_best<2>(args);
    return args.nbytes == 3 ? gather_best<3>(args) : gather_best<4>(args);
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
