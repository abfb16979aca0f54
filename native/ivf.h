// Candidates: the best centroids of each query token, the documents in their lists, the best scores.
#pragma once

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

// The largest keys seen. Keys are unique, so their order, and with it every answer, is unique too.
class Largest {
public:
    Largest(int64_t* keys, int64_t capacity) : keys_(keys), capacity_(capacity) {}

    int64_t smallest() const { return keys_[0]; }
    bool full() const { return size_ == capacity_; }

    void fill(int64_t key) {
        keys_[size_++] = key;
        if (full())
            for (int64_t at = capacity_ / 2; at-- > 0;) sink(at, keys_[at], capacity_);
    }
    void replace_smallest(int64_t key) { sink(0, key, capacity_); }

    // Largest first.
    void sort() {
        for (int64_t size = capacity_; --size > 0;) {
            const int64_t last = keys_[size];
            keys_[size] = keys_[0];
            sink(0, last, size);
        }
    }

private:
    void sink(int64_t at, int64_t key, int64_t size) {
        for (int64_t child; (child = 2 * at + 1) < size; at = child) {
            if (child + 1 < size && keys_[child + 1] < keys_[child]) ++child;
            if (keys_[child] >= key) break;
            keys_[at] = keys_[child];
        }
        keys_[at] = key;
    }

    int64_t* keys_;
    int64_t capacity_;
    int64_t size_ = 0;
};

// Larger for larger values, and among equal values for lower positions.
PLAIT_INLINE int64_t key_of(int32_t value, int64_t position) {
    return static_cast<int64_t>(static_cast<uint64_t>(static_cast<uint32_t>(value)) << 32 |
                                (0xffffffffu - static_cast<uint32_t>(position)));
}
PLAIT_INLINE uint32_t position_of(int64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

// For each lane a value that at least nprobe centroids reach, and few more: the nprobe-th largest of the
// maxima of 8 * nprobe blocks of rows. Without it most of the time goes into keys that are replaced later.
template <class Short>
PLAIT_INLINE bool find_floors(const TopCentroidsArgs& args, int64_t lane, int16_t* maxima, int16_t* floors) {
    constexpr int kLanes = Short::kLanes;
    const int64_t nblocks = 8 * args.nprobe, rows = args.ncentroids / nblocks;
    if (rows < 4 || nblocks > INT16_MAX) return false;
    for (int64_t block = 0; block < nblocks; ++block) {
        const int16_t* row = args.table + block * rows * args.lanes + lane;
        Short largest = Short::load(row);
        for (int64_t i = 1; i < rows; ++i) largest = largest.larger(Short::load(row + i * args.lanes));
        largest.store(maxima + block * kLanes);
    }
    int32_t low[kLanes], high[kLanes];  // enough maxima reach low; too few reach high
    for (int i = 0; i < kLanes; ++i) low[i] = INT16_MIN, high[i] = INT16_MAX + 1;
    for (int step = 0; step < 16; ++step) {
        int16_t middle[kLanes], count[kLanes] = {};
        for (int i = 0; i < kLanes; ++i) middle[i] = static_cast<int16_t>((low[i] + high[i]) >> 1);
        for (int64_t block = 0; block < nblocks; ++block)
            for (int i = 0; i < kLanes; ++i) count[i] += maxima[block * kLanes + i] >= middle[i];
        for (int i = 0; i < kLanes; ++i) (count[i] >= args.nprobe ? low[i] : high[i]) = middle[i];
    }
    bool found = true;
    for (int i = 0; i < kLanes; ++i) {
        floors[i] = static_cast<int16_t>(low[i]);
        found &= low[i] > INT16_MIN;  // there is nothing below it to compare with
    }
    return found;
}

// `lane` is the first of a block of Short::kLanes lanes.
template <class Short>
PLAIT_INLINE void scan_table(const TopCentroidsArgs& args, int64_t lane, int64_t* keys, int16_t* maxima) {
    const int64_t tokens = smaller_of<int64_t>(Short::kLanes, args.nq - lane);
    int16_t floors[Short::kLanes], threshold[Short::kLanes];
    const bool found = find_floors<Short>(args, lane, maxima, floors);
    for (int i = 0; i < Short::kLanes; ++i) threshold[i] = INT16_MAX;  // lanes without a token never pass
    for (int64_t token = 0; token < tokens; ++token) {
        Largest best(keys + token * args.nprobe, args.nprobe);
        if (found) {
            for (int64_t i = 0; i < args.nprobe; ++i) keys[token * args.nprobe + i] = INT64_MIN;
            threshold[token] = static_cast<int16_t>(floors[token] - 1);  // a floor need only be reached
        } else {
            for (int64_t c = 0; c < args.nprobe; ++c) best.fill(key_of(args.table[c * args.lanes + lane + token], c));
            threshold[token] = static_cast<int16_t>(best.smallest() >> 32);
        }
    }
    Short limit = Short::load(threshold);
    for (int64_t c = found ? 0 : args.nprobe; c < args.ncentroids; ++c) {
        const int16_t* row = args.table + c * args.lanes + lane;
        // A later centroid with a value equal to the smallest key's loses, so "above" is exact.
        uint32_t above = Short::load(row).above(limit);
        if (!above) continue;
        for (; above; above &= above - 1) {
            const int token = __builtin_ctz(above);
            int64_t* heap = keys + token * args.nprobe;
            Largest(heap, args.nprobe).replace_smallest(key_of(row[token], c));
            if (heap[0] != INT64_MIN) threshold[token] = static_cast<int16_t>(heap[0] >> 32);
        }
        limit = Short::load(threshold);
    }
    for (int64_t token = 0; token < tokens; ++token) {
        int64_t* heap = keys + token * args.nprobe;
        Largest(heap, args.nprobe).sort();
        uint32_t* out = args.best + (lane + token) * args.nprobe;
        for (int64_t i = 0; i < args.nprobe; ++i) out[i] = position_of(heap[i]);
    }
}

Status top_centroids(const TopCentroidsArgs& args) {
    if (!args.nprobe) return kDone;
    Scratch<int64_t> keys(Short32::kLanes * args.nprobe);
    Scratch<int16_t> maxima(Short32::kLanes * smaller_of(8 * args.nprobe, args.ncentroids));
    if (!keys || !maxima) return {Fault::memory, 0};
    int64_t lane = 0;
    for (; lane + Short32::kLanes <= args.lanes && lane < args.nq; lane += Short32::kLanes)
        scan_table<Short32>(args, lane, keys.data(), maxima.data());
    if (lane < args.nq) scan_table<Short16>(args, lane, keys.data(), maxima.data());
    return kDone;
}

// Integers in the order of the floats; -0 becomes 0.
PLAIT_INLINE int32_t ordered(float value) {
    const float sum = value + 0.0f;
    const int32_t bits = unaligned<int32_t>(&sum);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

PLAIT_INLINE float unordered(int32_t key) {
    const int32_t bits = key ^ ((key >> 31) & 0x7fffffff);
    return unaligned<float>(&bits);
}

Status top_k(const TopKArgs& args) {
    if (!args.k) return kDone;
    Largest best(args.positions, args.k);
    for (int64_t i = 0; i < args.k; ++i) best.fill(key_of(ordered(args.scores[i]), i));
    float threshold = unordered(static_cast<int32_t>(best.smallest() >> 32));
    int64_t at = args.k;
    const auto offer = [&](int64_t i) {
        if (!(args.scores[i] > threshold)) return;
        best.replace_smallest(key_of(ordered(args.scores[i]), i));
        threshold = unordered(static_cast<int32_t>(best.smallest() >> 32));
    };
    for (; at + 16 <= args.count; at += 16)
        for (uint32_t above = above16(args.scores + at, threshold); above; above &= above - 1)
            offer(at + __builtin_ctz(above));
    for (; at < args.count; ++at) offer(at);
    best.sort();
    for (int64_t i = 0; i < args.k; ++i) args.positions[i] = position_of(args.positions[i]);
    return kDone;
}

struct Entry {
    float score;
    uint32_t last;  // 1 + the last query token that met the document; 0: none
};

struct List {
    int64_t at, end;
    float gain;
    uint32_t token;
};

Status find_lists(const GatherArgs& args, List* lists, int64_t& postings) {
    postings = 0;
    for (int64_t i = 0; i < args.nq * args.nprobe; ++i) {
        if (args.probes[i] >= args.ncentroids) return {Fault::probe, i};
        const int64_t token = i / args.nprobe, centroid = args.probes[i];
        const int64_t begin = args.list_offsets[centroid], end = args.list_offsets[centroid + 1];
        if (begin < 0 || begin > end || end > args.npids)
            return {Fault::list, begin < 0 || begin > args.npids ? centroid : centroid + 1};
        const int64_t last = args.probes[token * args.nprobe + args.nprobe - 1];
        if (last >= args.ncentroids) return {Fault::probe, token * args.nprobe + args.nprobe - 1};
        const int rise = args.table[centroid * args.lanes + token] - args.table[last * args.lanes + token];
        lists[i] = {begin, end, static_cast<float>(rise) * args.lane_weights[token], static_cast<uint32_t>(token + 1)};
        postings += end - begin;
    }
    return kDone;
}

// The part of a list that lies in the documents [first, first + room).
PLAIT_INLINE Status visit(const GatherArgs& args, List& list, uint32_t first, uint32_t room, Entry* entries,
                          uint64_t* met) {
    int64_t at = list.at;
    for (; at < list.end; ++at) {
        const uint32_t pid = args.pids[at];
        if (pid < first) return {Fault::unsorted, at};
        const uint32_t local = pid - first;
        if (local >= room) break;
        if (args.allowed && !args.allowed[pid]) continue;
        Entry& entry = entries[local];
        if (entry.last == list.token) continue;
        entry.last = list.token;
        entry.score += list.gain;
        met[local / 64] |= uint64_t{1} << local % 64;
    }
    list.at = at;
    return kDone;
}

// Documents are taken in blocks whose entries stay in the cache; every list is visited once per block
// and goes on where it stopped. A document is in one block only, so its sum is made in the same order.
Status gather(GatherArgs& args) {
    args.found = 0;
    const int64_t nlists = args.nq * args.nprobe;
    Scratch<List> lists(nlists);
    if (!lists) return {Fault::memory, 0};
    int64_t postings;
    if (const Status status = find_lists(args, lists.data(), postings); status.fault != Fault::none) return status;
    if (!postings) return kDone;

    int64_t block = 1 << 16;
    // With few postings it costs more to come back to every list than to miss the cache.
    while (block < args.ndocs && block < 1 << 20 && args.ndocs / block * nlists > postings) block *= 2;
    block = smaller_of(block, round_up(args.ndocs, 64));
    Scratch<Entry> entries(block);
    Scratch<uint64_t> met(block / 64);
    if (!entries || !met) return {Fault::memory, 0};
    for (int64_t first = 0; first < args.ndocs; first += block) {
        const int64_t room = smaller_of(block, args.ndocs - first);
        for (int64_t i = 0; i < nlists; ++i) {
            if (i + 4 < nlists) prefetch(args.pids + lists[i + 4].at);
            const Status status = visit(args, lists[i], static_cast<uint32_t>(first), static_cast<uint32_t>(room),
                                        entries.data(), met.data());
            if (status.fault != Fault::none) return status;
        }
        for (int64_t word = 0; word < (room + 63) / 64; ++word) {
            for (uint64_t bits = met[word]; bits; bits &= bits - 1) {
                const int64_t local = word * 64 + __builtin_ctzll(bits);
                args.docs[args.found] = static_cast<uint32_t>(first + local);
                args.scores[args.found++] = entries[local].score;
                entries[local] = {0.0f, 0};
            }
            met[word] = 0;
        }
    }
    for (int64_t i = 0; i < nlists; ++i)
        if (lists[i].at < lists[i].end) return {Fault::pid, lists[i].at};
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
