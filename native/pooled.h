// The nearest of many single vectors, in 4 bits per dimension, by a scan over all of them
// (src/plait/kernels/reference_pooled.py).
#pragma once

#include "lists.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int64_t kRowsPerStep = 16;
constexpr int64_t kStepsAhead = 4;

class PooledScan {
public:
    explicit PooledScan(const TopPooledArgs& args)
        : args_(args), planes_(4 * stride()), best_(args.count) {
        if (!planes_ || !best_) return;
        for (int64_t plane = 0; plane < 4; ++plane)
            __builtin_memcpy(planes_.data() + plane * stride(), args.query + plane * args.bytes,
                             static_cast<size_t>(args.bytes));
        for (int64_t d = 0; d < 2 * args.bytes; ++d) sum_ += 128 * args.query[d] + args.query[2 * args.bytes + d];
    }
    explicit operator bool() const { return planes_ && best_; }

    void run() {
        alignas(64) int32_t sums[kRowsPerStep];
        alignas(64) float scores[kRowsPerStep];
        const int64_t step_bytes = kRowsPerStep * args_.bytes;
        for (int64_t first = 0; first < args_.nrows; first += kRowsPerStep) {
            const int64_t count = smaller_of(kRowsPerStep, args_.nrows - first);
            if (args_.allowed && none_allowed(first, count)) continue;
            prefetch_range(args_.rows + first * args_.bytes + kStepsAhead * step_bytes, step_bytes);
            dot_nibbles(args_.rows + first * args_.bytes, args_.bytes, count, planes_.data(), stride(), sums);
            for (int64_t i = 0; i < count; ++i) {
                const double whole = static_cast<double>(2 * int64_t{sums[i]} - 15 * sum_);
                // 0 is added so that there is no -0.
                scores[i] = static_cast<float>(whole * static_cast<double>(args_.scales[first + i]) *
                                               args_.query_scale) + 0.0f;
            }
            for (int64_t i = count; i < kRowsPerStep; ++i) scores[i] = kMinusInfinity;
            if (args_.allowed)
                for (int64_t i = 0; i < count; ++i)
                    if (!args_.allowed[first + i]) scores[i] = kMinusInfinity;
            best_.offer(scores, first);
        }
    }

    int64_t write(uint32_t* rows, float* scores) { return best_.write(rows, scores); }

private:
    int64_t stride() const { return round_up(args_.bytes, 64); }

    bool none_allowed(int64_t first, int64_t count) const {
        uint8_t any = 0;
        for (int64_t i = 0; i < count; ++i) any |= args_.allowed[first + i];
        return !any;
    }

    const TopPooledArgs& args_;
    // Of the low nibbles' dimensions and of the high ones' the upper 8 bits, then of both the lower 7.
    Scratch<int8_t> planes_;
    BestRows best_;
    int64_t sum_ = 0;
};

Status top_pooled(TopPooledArgs& args) {
    PooledScan scan(args);
    if (!scan) return {Fault::memory, 0};
    if (args.count) scan.run();
    args.found = scan.write(args.best, args.scores);
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
