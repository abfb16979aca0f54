// The documents that the lists of a query speak for most (src/plait/kernels/reference_scaled.py).
#pragma once

#include "lists.h"

namespace plait::PLAIT_ISA {
namespace {

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
// that met it. What a list is worth has the same form.
constexpr int kScoreShift = 16;
constexpr uint32_t kTokenMask = 0xffff;

// Lists lie anywhere: memory takes as long to answer as a few of them take to be read.
constexpr int64_t kListsAhead = 3;

// So many documents, whose scores are half a megabyte, are added up as lists come; more of them in blocks, so that
// random additions stay in the cache.
constexpr int64_t kAtOnce = 1 << 17;
constexpr int kBlockBits = 16;

// Keys are a score in so many bits above the complement of a document, so that of equal scores the document
// that comes first is larger.
constexpr int kDocBits = 32, kKeyBits = kDocBits + 32 - kScoreShift;
PLAIT_INLINE uint64_t key_of_score(uint32_t score, int64_t doc) {
    return static_cast<uint64_t>(score) << kDocBits | (0xffffffffu - static_cast<uint32_t>(doc));
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
        keep_largest<11>(keys_.data(), size_, count_, spare_.data(), kKeyBits);
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

// The lists to read, in order.
class Visits {
public:
    explicit Visits(const GatherTopArgs& args) : begins_(room(args)), ends_(room(args)), worths_(room(args)) {
        if (!*this) return;
        for (int64_t at = 0; at < args.nq * args.nprobe; ++at) {
            if (args.lists[at] == kNoRow) continue;
            begins_[count_] = args.list_offsets[args.lists[at]];
            ends_[count_] = args.list_offsets[args.lists[at] + 1];
            postings_ += ends_[count_] - begins_[count_];
            const uint32_t stamp = static_cast<uint32_t>(at / args.nprobe + 1);
            worths_[count_++] = static_cast<uint32_t>(args.gains[at]) << kScoreShift | stamp;
        }
    }
    explicit operator bool() const { return begins_ && ends_ && worths_; }

    int64_t count() const { return count_; }
    int64_t postings() const { return postings_; }
    int64_t begin(int64_t visit) const { return begins_[visit]; }
    int64_t end(int64_t visit) const { return ends_[visit]; }
    const uint32_t* worths() const { return worths_.data(); }

private:
    static int64_t room(const GatherTopArgs& args) { return args.nq * args.nprobe; }

    Scratch<int64_t> begins_, ends_;
    Scratch<uint32_t> worths_;
    int64_t count_ = 0, postings_ = 0;
};

// Adds up what every document gets. Of many documents postings are first put in order of blocks, because a list has
// few in each block, and finding where they end costs more than adding them.
template <int kBytes>
class Gathering {
public:
    static constexpr int64_t kLook = 64;

    explicit Gathering(const GatherTopArgs& args)
        : args_(args), docs_{args.list_docs, args.nlisted}, visits_(args),
          met_(round_up(smaller_of(kAtOnce, args.ndocs), kLook)), best_(args.count) {}
    explicit operator bool() const { return visits_ && met_ && best_; }
    BestKeys& best() { return best_; }

    Status run() { return args_.ndocs <= kAtOnce ? run_at_once() : run_in_blocks(); }

private:
    // Without a branch: whether a token met a document before is not predictable.
    static PLAIT_INLINE uint32_t met_by(uint32_t entry, uint32_t worth) {
        const uint32_t fresh = uint32_t{0} - static_cast<uint32_t>(((entry ^ worth) & kTokenMask) != 0);
        return entry + ((worth - (entry & kTokenMask)) & fresh);
    }

    // Calls `take(doc)` for every document of a list that may be found.
    template <class Take>
    PLAIT_INLINE Status each(int64_t visit, const Take& take) const {
        if (visit + kListsAhead < visits_.count()) fetch(visit + kListsAhead);
        const uint32_t ndocs = static_cast<uint32_t>(args_.ndocs);
        const uint8_t* allowed = args_.allowed;
        const int64_t end = visits_.end(visit);
        for (int64_t i = visits_.begin(visit); i < end; ++i) {
            const uint32_t doc = docs_[i];
            if (doc >= ndocs) return {Fault::pid, i};
            if (allowed && !allowed[doc]) continue;
            take(doc);
        }
        return kDone;
    }

    void fetch(int64_t visit) const {
        const int64_t begin = visits_.begin(visit), size = visits_.end(visit) - begin;
        prefetch_range(args_.list_docs + begin * kBytes, smaller_of<int64_t>(size * kBytes, 1024));
    }

    Status run_at_once() {
        uint32_t* met = met_.data();
        for (int64_t visit = 0; visit < visits_.count(); ++visit) {
            const uint32_t worth = visits_.worths()[visit];
            const Status status = each(visit, [&](uint32_t doc) { met[doc] = met_by(met[doc], worth); });
            if (status.fault != Fault::none) return status;
        }
        offer_all();
        return kDone;
    }

    // A document in its block above the number of a visit is one word, so blocks are smaller if there are many visits.
    Status run_in_blocks() {
        int visit_bits = 1;
        while (visits_.count() > int64_t{1} << visit_bits) ++visit_bits;
        const int bits = smaller_of(kBlockBits, 32 - visit_bits);
        const int64_t nblocks = ((args_.ndocs - 1) >> bits) + 1;
        Scratch<int64_t> ends(nblocks + 1);
        Scratch<uint32_t> docs(visits_.postings(), false), postings(visits_.postings(), false);
        Scratch<int64_t> taken(visits_.count() + 1);
        Scratch<uint32_t> touched(smaller_of(int64_t{1} << bits, visits_.postings()) + kLook, false);
        if (!ends || !docs || !postings || !taken || !touched) return {Fault::memory, 0};
        int64_t count = 0;
        for (int64_t visit = 0; visit < visits_.count(); ++visit) {
            const Status status = each(visit, [&, to = docs.data(), sizes = ends.data() + 1](uint32_t doc) {
                to[count++] = doc;
                ++sizes[doc >> bits];
            });
            if (status.fault != Fault::none) return status;
            taken[visit + 1] = count;
        }
        for (int64_t block = 0; block < nblocks; ++block) ends[block + 1] += ends[block];
        const uint32_t inside = (uint32_t{1} << bits) - 1;
        for (int64_t visit = 0; visit < visits_.count(); ++visit)
            for (int64_t i = taken[visit]; i < taken[visit + 1]; ++i)
                postings[ends[docs[i] >> bits]++] =
                    (docs[i] & inside) << visit_bits | static_cast<uint32_t>(visit);
        int64_t begin = 0;
        for (int64_t block = 0; block < nblocks; begin = ends[block++]) {
            const int64_t met = meet(postings.data() + begin, ends[block] - begin, visit_bits, touched.data());
            offer(touched.data(), met, block << bits);
        }
        return kDone;
    }

    // Returns how many documents were met.
    int64_t meet(const uint32_t* postings, int64_t count, int visit_bits, uint32_t* touched) {
        uint32_t* met = met_.data();
        const uint32_t* worths = visits_.worths();
        const uint32_t visits = (uint32_t{1} << visit_bits) - 1;
        int64_t found = 0;
        for (int64_t i = 0; i < count; ++i) {
            const uint32_t doc = postings[i] >> visit_bits, entry = met[doc];
            touched[found] = doc;
            found += entry == 0;
            met[doc] = met_by(entry, worths[postings[i] & visits]);
        }
        return found;
    }

    // The documents met in a block, in no order. A document that comes later loses a tie, but not to those of its own
    // block that are the smallest kept for now.
    void offer(const uint32_t* touched, int64_t count, int64_t first) {
        uint32_t* met = met_.data();
        const uint32_t before = best_.floor() + 1;
        for (int64_t i = 0; i < count; i += kLook) {
            uint64_t* keys = best_.room_for(kLook);
            const uint32_t least = before > best_.floor() ? before : best_.floor();
            const int64_t end = smaller_of(count, i + kLook);
            int64_t more = 0;
            for (int64_t j = i; j < end; ++j) {
                const uint32_t doc = touched[j], score = met[doc] >> kScoreShift;
                met[doc] = 0;
                keys[more] = key_of_score(score, first + doc);
                more += score >= least;
            }
            best_.take(more);
        }
    }

    // Few documents are among the best, so all scores are compared with the smallest that still counts, many at a time.
    void offer_all() {
        const uint32_t* met = met_.data();
        for (int64_t i = 0; i < args_.ndocs; i += kLook) {
            // Entries with a larger score than the floor; a document that comes later loses a tie.
            const uint32_t floor = best_.floor() << kScoreShift | kTokenMask;
            uint32_t any = 0;
            for (int64_t j = 0; j < kLook; ++j) any |= static_cast<uint32_t>(met[i + j] > floor);
            if (!any) continue;
            uint64_t* keys = best_.room_for(kLook);
            int64_t more = 0;
            for (int64_t j = 0; j < kLook; ++j) {
                keys[more] = key_of_score(met[i + j] >> kScoreShift, i + j);
                more += met[i + j] > floor;
            }
            best_.take(more);
        }
    }

    const GatherTopArgs& args_;
    const ListDocs<kBytes> docs_;
    const Visits visits_;
    Scratch<uint32_t> met_;
    BestKeys best_;
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
    sort_by_bits(keys, args.found, best.spare(), 0, kDocBits);
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

}  // namespace
}  // namespace plait::PLAIT_ISA
