// Rows of the scaled codec to levels around 64, with AVX-512 VBMI: 64 dimensions at a time, in order,
// whatever bits each of them has.
#pragma once

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

class LevelRows {
public:
    using Dot = Dot8;

    // `levels`: of 4-bit buckets at 0, of 2-bit buckets at 16, of 1-bit buckets at 32.
    LevelRows(const int64_t* bits, const uint8_t* levels)
        : positions_(bits[0] + bits[1] + bits[2]), steps_(round_up(positions_, 64) / 64) {
        if (!steps_) return;
        alignas(64) uint8_t table[64] = {};
        put<4>(table, levels);
        put<2>(table + 16, levels + 16);
        put<1>(table + 32, levels + 32);
        table_ = _mm512_load_si512(table);
        for (int64_t step = 0; step * 64 < positions_; ++step) prepare(bits, step);
    }

    explicit operator bool() const { return static_cast<bool>(steps_); }
    int64_t positions() const { return positions_; }

    void map(int64_t* dimension) const {
        for (int64_t p = 0; p < positions_; ++p) dimension[p] = p;
    }

    PLAIT_INLINE void decode(const uint8_t* rows, int64_t row_bytes, int count, const uint8_t*, uint8_t* out,
                             int64_t stride) const {
        const Step* step = steps_.data();
        for (int64_t at = 0; at < positions_; at += 64, ++step) {
            const __m512i byte = step->byte, shift = step->shift, mask = step->mask, base = step->base;
            const __mmask64 wanted = step->wanted;
            const uint8_t* row = rows + step->window;
            uint8_t* to = out + at;
            for (int i = 0; i < count; ++i, row += row_bytes, to += stride) {
                const __m512i spread = _mm512_permutexvar_epi8(byte, _mm512_maskz_loadu_epi8(wanted, row));
                const __m512i low = _mm512_multishift_epi64_epi8(shift, spread);
                const __m512i index = _mm512_ternarylogic_epi64(low, mask, base, 0xea);  // low & mask | base
                _mm512_storeu_si512(to, _mm512_permutexvar_epi8(index, table_));
            }
        }
    }

private:
    // For each of 64 positions: its byte among those of the window, where in the eight bytes around it
    // the bucket begins, the bucket's bits, and where in the table its levels begin.
    struct Step {
        __m512i byte, shift, mask, base;
        int64_t window;
        __mmask64 wanted;
    };

    template <int kBits>
    static void put(uint8_t* table, const uint8_t* levels) {
        for (int i = 0; i < 1 << kBits; ++i) table[i] = levels[reversed<kBits>(i)];
    }

    void prepare(const int64_t* bits, int64_t number) {
        alignas(64) uint8_t byte[64] = {}, shift[64] = {}, mask[64] = {}, base[64] = {};
        Step& step = steps_[number];
        const int64_t count = smaller_of<int64_t>(64, positions_ - number * 64);
        int64_t last = 0;
        for (int64_t i = 0; i < count; ++i) {
            int64_t at = number * 64 + i, before = 0;
            int part = 0, nbits = 4;
            for (; at >= bits[part]; ++part, nbits /= 2) {
                at -= bits[part];
                before += bits[part] * nbits / 8;
            }
            const int64_t place = before + at * nbits / 8;
            if (!i) step.window = place;
            last = place - step.window;
            byte[i] = static_cast<uint8_t>(last);
            shift[i] = static_cast<uint8_t>(8 * (i % 8) + 8 - nbits - at * nbits % 8);
            mask[i] = static_cast<uint8_t>((1 << nbits) - 1);
            base[i] = static_cast<uint8_t>(16 * part);
        }
        step.byte = _mm512_load_si512(byte);
        step.shift = _mm512_load_si512(shift);
        step.mask = _mm512_load_si512(mask);
        step.base = _mm512_load_si512(base);
        step.wanted = ~0ull >> (63 - last);
    }

    int64_t positions_;
    Scratch<Step> steps_;
    __m512i table_;
};

}  // namespace
}  // namespace plait::PLAIT_ISA
