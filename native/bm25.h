// BM25 over the postings of one segment (src/plait/kernels/reference_bm25.py says what is computed).
//
// MaxScore (Turtle and Flood 1995) over windows of documents: the lists that alone could lift a document into the
// best k are added up in a flat accumulator, the others are looked at for documents that are near enough, and
// the bounds of their blocks (Ding and Suel 2011) end most of these looks early. That is done in f32, in any order;
// documents that may be among the best are scored again in f64, term by term, so that the result does not depend
// on any of it.
#pragma once

#include "lists.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int64_t kPostingBlock = 128;  // BLOCK of store/postings.py
constexpr int64_t kBm25Window = 8192;   // documents: their sums stay in the first-level cache
constexpr int64_t kBm25Group = 64;      // documents that are looked at together, or not at all
// Looking for one document in a list takes as long as adding up so many postings.
constexpr double kCostOfLook = 40;

// A posting's document, of 2, 3 or 4 bytes.
PLAIT_INLINE uint32_t posting_doc(const Bm25Postings& postings, int64_t i) {
    const uint8_t* p = postings.docs + i * postings.doc_bytes;
    if (postings.doc_bytes == 2) return unaligned<uint16_t>(p);
    if (postings.doc_bytes == 4) return unaligned<uint32_t>(p);
    return p[0] | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16;
}

PLAIT_INLINE uint32_t frequency(const uint8_t* tfs, int tf_bytes, int64_t i) {
    if (tf_bytes == 1) return tfs[i];
    if (tf_bytes == 2) return unaligned<uint16_t>(tfs + 2 * i);
    return unaligned<uint32_t>(tfs + 4 * i);
}

inline void decode_docs(const Bm25Postings& postings, int64_t from, int64_t count, uint32_t* out) {
    const uint8_t* p = postings.docs + from * postings.doc_bytes;
    if (postings.doc_bytes == 2) {
        for (int64_t i = 0; i < count; ++i) out[i] = unaligned<uint16_t>(p + 2 * i);
    } else if (postings.doc_bytes == 4) {
        __builtin_memcpy(out, p, static_cast<size_t>(count) * 4);
    } else {
        // The last posting of all has no byte after it.
        for (int64_t i = 0; i + 1 < count; ++i) out[i] = unaligned<uint32_t>(p + 3 * i) & 0xffffff;
        out[count - 1] = posting_doc(postings, from + count - 1);
    }
}

inline void decode_tfs(const uint8_t* tfs, int tf_bytes, int64_t from, int64_t count, float* out) {
    const uint8_t* p = tfs + from * tf_bytes;
    if (tf_bytes == 1)
        for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(p[i]);
    else if (tf_bytes == 2)
        for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(unaligned<uint16_t>(p + 2 * i));
    else
        for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(unaligned<uint32_t>(p + 4 * i));
}

// The scores of the best so far, the smallest at the top.
class SmallestFirst {
public:
    explicit SmallestFirst(int64_t room) : heap_(room, false), room_(room) {}
    explicit operator bool() const { return static_cast<bool>(heap_); }
    bool full() const { return size_ == room_; }
    float smallest() const { return heap_[0]; }

    void push(float score) {
        if (!full()) {
            int64_t at = size_++;
            while (at && heap_[(at - 1) / 2] > score) {
                heap_[at] = heap_[(at - 1) / 2];
                at = (at - 1) / 2;
            }
            heap_[at] = score;
        } else if (score > heap_[0]) {
            int64_t at = 0;
            for (int64_t child; (child = 2 * at + 1) < size_; at = child) {
                if (child + 1 < size_ && heap_[child + 1] < heap_[child]) ++child;
                if (heap_[child] >= score) break;
                heap_[at] = heap_[child];
            }
            heap_[at] = score;
        }
    }

private:
    Scratch<float> heap_;
    int64_t room_, size_ = 0;
};

// One term's list on its way through the windows.
struct Bm25List {
    int64_t begin, end, slot;
    float weight, bound;
    int64_t next;         // the first posting that is not decoded yet
    int64_t at, decoded;  // in the buffer of decoded documents
    int64_t upto;         // documents below this one were added up, or passed over
    int64_t looked;       // no document looked for is before this posting
};

class Bm25Search {
public:
    explicit Bm25Search(Bm25Args& args)
        : args_(args), lists_(args.nq), order_(args.nq), rest_(args.nq + 1), buffers_(args.nq * kPostingBlock, false),
          sums_(kBm25Window), touched_(kBm25Window / kBm25Group), near_(kBm25Window, false), heap_(args.k),
          room_(4 * args.k + 4096), found_(room_, false) {}
    explicit operator bool() const {
        return lists_ && order_ && rest_ && buffers_ && sums_ && touched_ && near_ && heap_ && found_;
    }

    Status run() {
        Status status = open();
        if (status.fault != Fault::none) return status;
        for (int64_t base = 0; base < args_.ndocs; base += kBm25Window) {
            while (first_ < args_.nq && rest_[first_ + 1] < cut_) ++first_;
            if (first_ == args_.nq) break;  // no document can be good enough any more
            for (int64_t i = first_; i < args_.nq; ++i)
                if ((status = add_up(order_[i], base)).fault != Fault::none) return status;
            if ((status = look(base)).fault != Fault::none) return status;
        }
        return finish();
    }

private:
    // Lists in order of what they are worth at most; the sums of that.
    Status open() {
        const double slope = args_.k1 * args_.b / args_.average;
        constant_ = static_cast<float>(args_.k1 * (1 - args_.b));
        slope_ = static_cast<float>(slope);
        // What f32 may be off by, twice: see `cut_`.
        slack_ = 3e-7f * static_cast<float>(8 + args_.nq);
        for (int64_t q = 0; q < args_.nq; ++q) {
            Bm25List& list = lists_[q];
            list = {args_.begins[q], args_.ends[q], args_.slots[q], static_cast<float>(args_.weights[q]), 0, 0, 0, 0, 0, 0};
            if (list.begin < 0 || list.begin > list.end || list.end > args_.postings.count) return {Fault::postings, q};
            const int64_t blocks = (list.end - list.begin + kPostingBlock - 1) / kPostingBlock;
            if (list.slot < 0 || list.slot + blocks > args_.nslots) return {Fault::postings, q};
            list.next = list.looked = list.begin;
            for (int64_t block = 0; block < blocks; ++block) {
                const float bound = bound_of(list, block);
                list.bound = bound > list.bound ? bound : list.bound;
            }
            int64_t place = q;
            for (; place && lists_[order_[place - 1]].bound > list.bound; --place) order_[place] = order_[place - 1];
            order_[place] = q;
        }
        rest_[0] = 0;
        for (int64_t i = 0; i < args_.nq; ++i) rest_[i + 1] = rest_[i] + lists_[order_[i]].bound;
        raise(args_.floor);
        return kDone;
    }

    PLAIT_INLINE float score(float weight, float tf, float doclen) const {
        return weight * (tf / ((constant_ + slope_ * doclen) + tf));
    }

    float bound_of(const Bm25List& list, int64_t block) const {
        const int64_t slot = list.slot + block;
        return score(list.weight, static_cast<float>(frequency(args_.block_tfs, args_.tf_bytes, slot)),
                     static_cast<float>(args_.block_doclens[slot]));
    }

    struct Scored {
        uint32_t doc;
        float score;
    };

    // `threshold` is a score that k documents have, as far as f32 can tell: what is below `cut_` is not among them.
    void raise(float threshold) { cut_ = threshold * (1 - slack_); }

    // Adds a list's part of the window to the sums.
    Status add_up(int64_t place, int64_t base) {
        Bm25List& list = lists_[place];
        const int64_t width = smaller_of(kBm25Window, args_.ndocs - base);
        uint32_t* docs = buffers_.data() + place * kPostingBlock;
        if (list.upto != base) {  // it was passed over in the window before
            move(list, static_cast<uint32_t>(base));
            list.next = list.looked;
            list.at = list.decoded = 0;
        }
        list.upto = base + width;
        for (;;) {
            if (list.at == list.decoded) {
                if (list.next == list.end) return kDone;
                list.decoded = smaller_of(kPostingBlock, list.end - list.next);
                decode_docs(args_.postings, list.next, list.decoded, docs);
                list.next += list.decoded;
                for (list.at = 0; list.at < list.decoded && docs[list.at] < base;) ++list.at;
            }
            const int64_t stop = end_of(docs, list.at, list.decoded, base + width);
            if (!add(list, docs, stop, base, width)) return {Fault::unsorted_postings, list.next - list.decoded};
            list.at = stop;
            if (stop < list.decoded) return kDone;
        }
    }

    // The first of the ascending documents that is not below `limit`.
    static int64_t end_of(const uint32_t* docs, int64_t at, int64_t decoded, int64_t limit) {
        if (docs[decoded - 1] < limit) return decoded;
        while (at < decoded && docs[at] < limit) ++at;
        return at;
    }

    bool add(const Bm25List& list, const uint32_t* docs, int64_t stop, int64_t base, int64_t width) {
        const int64_t at = list.at, count = stop - at;
        if (!count) return true;
        uint32_t bad = 0;
        const uint32_t origin = static_cast<uint32_t>(base);
        for (int64_t i = at; i < stop; ++i) bad |= docs[i] - origin >= static_cast<uint32_t>(width);
        if (bad) return false;
        alignas(64) float values[kPostingBlock], lengths[kPostingBlock];
        decode_tfs(args_.postings.tfs, args_.tf_bytes, list.next - list.decoded + at, count, values);
        for (int64_t i = 0; i < count; ++i)
            lengths[i] = static_cast<float>(static_cast<int32_t>(args_.doclens[docs[at + i]]));
        for (int64_t i = 0; i < count; ++i) values[i] = score(list.weight, values[i], lengths[i]);
        for (int64_t i = 0; i < count; ++i) {
            const uint32_t place = docs[at + i] - origin;
            sums_[place] += values[i];
            touched_[place / kBm25Group] = 1;
        }
        return true;
    }

    // The documents of a window that may be good enough, with what the other lists have for them.
    Status look(int64_t base) {
        const int64_t width = smaller_of(kBm25Window, args_.ndocs - base);
        int64_t count = gather(base, width);
        for (int64_t i = first_; i-- > 0 && count;) {
            count = left_of(count, cut_ - rest_[i + 1]);
            const Bm25List& list = lists_[order_[i]];
            const double expected = static_cast<double>(list.end - list.begin) / static_cast<double>(args_.ndocs) *
                                    static_cast<double>(width);
            if (static_cast<double>(count) * kCostOfLook > expected) {
                const Status status = add_up(order_[i], base);
                if (status.fault != Fault::none) return status;
            } else {
                look_up(lists_[order_[i]], base, count, cut_ - rest_[i]);
            }
        }
        for (int64_t i = 0; i < count; ++i) {
            const Scored found{static_cast<uint32_t>(base + near_[i]), sums_[near_[i]]};
            if (found.score < cut_) continue;
            heap_.push(found.score);
            if (heap_.full() && heap_.smallest() > args_.floor) raise(heap_.smallest());
            const Status status = keep(found);
            if (status.fault != Fault::none) return status;
        }
        for (int64_t group = 0; group * kBm25Group < width; ++group) {
            if (!touched_[group]) continue;
            touched_[group] = 0;
            __builtin_memset(sums_.data() + group * kBm25Group, 0, kBm25Group * sizeof(float));
        }
        return kDone;
    }

    int64_t gather(int64_t base, int64_t width) {
        const float least = cut_ - rest_[first_];
        int64_t count = 0;
        for (int64_t group = 0; group * kBm25Group < width; ++group) {
            if (!touched_[group]) continue;
            const float* sums = sums_.data() + group * kBm25Group;
            uint64_t good = 0;
            for (int64_t i = 0; i < kBm25Group; ++i)
                good |= static_cast<uint64_t>((sums[i] > 0) & (sums[i] >= least)) << i;
            for (; good; good &= good - 1) {
                const int64_t place = group * kBm25Group + __builtin_ctzll(good);
                if (!args_.mask || args_.mask[base + place]) near_[count++] = static_cast<uint16_t>(place);
            }
        }
        return count;
    }

    // Only those of the first `count` whose sum is not below `least`.
    int64_t left_of(int64_t count, float least) {
        int64_t left = 0;
        for (int64_t i = 0; i < count; ++i) {
            near_[left] = near_[i];
            left += sums_[near_[i]] >= least;
        }
        return left;
    }

    // Adds what a list has for single documents, unless they can't reach `least` with it.
    void look_up(Bm25List& list, int64_t base, int64_t count, float least) {
        for (int64_t i = 0; i < count; ++i) {
            const uint32_t doc = static_cast<uint32_t>(base + near_[i]);
            if (!move(list, doc)) continue;
            float& sum = sums_[near_[i]];
            if (sum + bound_of(list, (list.looked - list.begin) / kPostingBlock) < least) continue;
            const int64_t place = find(list, doc);
            if (place >= 0)
                sum += score(list.weight, static_cast<float>(frequency(args_.postings.tfs, args_.tf_bytes, place)),
                             static_cast<float>(args_.doclens[doc]));
        }
    }

    // Moves on to the block that would hold a document; false if the list begins after it.
    bool move(Bm25List& list, uint32_t doc) {
        int64_t block = (list.looked - list.begin) / kPostingBlock;
        const int64_t blocks = (list.end - list.begin + kPostingBlock - 1) / kPostingBlock;
        const auto first_of = [&](int64_t i) { return posting_doc(args_.postings, list.begin + i * kPostingBlock); };
        int64_t step = 1;
        while (block + step < blocks && first_of(block + step) <= doc) {
            block += step;
            step *= 2;
        }
        for (; step; step /= 2)
            if (block + step < blocks && first_of(block + step) <= doc) block += step;
        list.looked = list.begin + block * kPostingBlock;
        return list.begin < list.end && first_of(block) <= doc;
    }

    // The posting of a document in the block that was moved to, or -1.
    int64_t find(const Bm25List& list, uint32_t doc) const {
        int64_t low = list.looked, high = smaller_of(list.looked + kPostingBlock, list.end);
        while (high - low > 1) {
            const int64_t middle = (low + high) / 2;
            (posting_doc(args_.postings, middle) <= doc ? low : high) = middle;
        }
        return posting_doc(args_.postings, low) == doc ? low : -1;
    }

    // Remembers a document; those that are no longer good enough are forgotten when there is no more room.
    Status keep(Scored found) {
        if (size_ == room_) {
            int64_t left = 0;
            for (int64_t i = 0; i < size_; ++i)
                if (found_[i].score >= cut_) found_[left++] = found_[i];
            size_ = left;
            if (size_ > room_ / 2) {
                Scratch<Scored> larger(2 * room_, false);
                if (!larger) return {Fault::memory, 0};
                __builtin_memcpy(static_cast<void*>(larger.data()), found_.data(), static_cast<size_t>(size_) * sizeof(Scored));
                found_.swap(larger);
                room_ *= 2;
            }
        }
        found_[size_++] = found;
        return kDone;
    }

    // Scores what is left in f64, in the order of the terms, and takes the best.
    Status finish() {
        int64_t left = 0;
        for (int64_t i = 0; i < size_; ++i)
            if (found_[i].score >= cut_) found_[left++] = found_[i];
        Scratch<double> scores(left);
        Scratch<uint64_t> keys(left, false), spare(left, false);
        if (!scores || !keys || !spare) return {Fault::memory, 0};
        for (int64_t q = 0; q < args_.nq; ++q) {
            Bm25List& list = lists_[q];
            list.looked = list.begin;
            for (int64_t i = 0; i < left; ++i) {
                const uint32_t doc = found_[i].doc;
                const int64_t place = move(list, doc) ? find(list, doc) : -1;
                if (place < 0) continue;
                const double tf = frequency(args_.postings.tfs, args_.tf_bytes, place);
                const double norm = args_.k1 * ((1 - args_.b) + args_.b * (args_.doclens[doc] / args_.average));
                scores[i] += args_.weights[q] * (tf / (norm + tf));
            }
        }
        int64_t count = 0;
        for (int64_t i = 0; i < left; ++i) {
            const float score = static_cast<float>(scores[i]);
            if (score > 0 && score >= args_.floor) keys[count++] = key_of_row(score, found_[i].doc);
        }
        const int64_t best = smaller_of(count, args_.k);
        keep_largest<8>(keys.data(), count, best, spare.data(), 64);
        sort_by_bits(keys.data(), best, spare.data(), 0, 64);
        for (int64_t i = 0; i < best; ++i) {
            const uint64_t key = keys[best - 1 - i];
            args_.best[i] = 0xffffffffu - static_cast<uint32_t>(key);
            args_.scores[i] = score_of_row(key);
        }
        args_.found = best;
        return kDone;
    }

    Bm25Args& args_;
    Scratch<Bm25List> lists_;
    Scratch<int64_t> order_;  // of the lists: the least valuable first
    Scratch<float> rest_;     // rest_[i]: what the first i of these are worth together
    Scratch<uint32_t> buffers_;
    Scratch<float> sums_;
    Scratch<uint8_t> touched_;
    Scratch<uint16_t> near_;  // places in the window
    SmallestFirst heap_;
    int64_t room_;
    Scratch<Scored> found_;
    int64_t size_ = 0, first_ = 0;
    float constant_ = 0, slope_ = 0, slack_ = 0, cut_ = 0;
};

Status top_bm25(Bm25Args& args) {
    args.found = 0;
    if (args.k < 1 || !args.nq || !args.ndocs) return kDone;
    Bm25Search search(args);
    return search ? search.run() : Status{Fault::memory, 0};
}

Status count_alive(CountAliveArgs& args) {
    args.found = 0;
    if (args.begin < 0 || args.begin > args.end || args.end > args.postings.count) return {Fault::postings, 0};
    uint32_t docs[kPostingBlock];
    for (int64_t from = args.begin; from < args.end; from += kPostingBlock) {
        const int64_t count = smaller_of(kPostingBlock, args.end - from);
        decode_docs(args.postings, from, count, docs);
        uint32_t largest = 0;
        for (int64_t i = 0; i < count; ++i) largest = docs[i] > largest ? docs[i] : largest;
        if (largest >= args.ndocs) return {Fault::unsorted_postings, from};
        for (int64_t i = 0; i < count; ++i) args.found += args.alive[docs[i]] != 0;
    }
    return kDone;
}

Status find_terms(FindTermsArgs& args) {
    for (int64_t q = 0; q < args.nq; ++q) {
        const int64_t start = q ? args.query_ends[q - 1] : 0, length = args.query_ends[q] - start;
        int64_t low = 0, high = args.nterms;
        args.places[q] = -1;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            const int64_t begin = middle ? args.ends[middle - 1] : 0, end = args.ends[middle];
            if (begin < 0 || begin > end || end > args.nbytes) return {Fault::dictionary, middle};
            const int64_t common = smaller_of(length, end - begin);
            int order = __builtin_memcmp(args.terms + begin, args.query + start, static_cast<size_t>(common));
            if (!order && end - begin == length) {
                args.places[q] = middle;
                break;
            }
            if (!order) order = end - begin < length ? -1 : 1;
            if (order < 0) low = middle + 1;
            else high = middle;
        }
    }
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
