// Rows of the scaled codec to levels around 64, with AVX-512 VBMI: 64 dimensions at a time, in order,
// whatever bits each of them has.
#pragma once

#include "level_table.h"

namespace plait::PLAIT_ISA {
namespace {

class LevelRows {
public:
    using Dot = Dot8;

    // `zero`: what stands for level 0.
    explicit LevelRows(const int64_t* bits, int zero = kLevelZero)
        : positions_(bits[0] + bits[1] + bits[2]), steps_(round_up(positions_, 64) / 64) {
        if (!steps_) return;
        const LevelTable levels(zero);
        alignas(64) uint8_t table[64] = {};
        put<4>(table, levels.bytes);
        put<2>(table + 16, levels.bytes + 16);
        put<1>(table + 32, levels.bytes + 32);
        table_ = _mm512_load_si512(table);
        for (int64_t step = 0; step * 64 < positions_; ++step) prepare(bits, step);
    }

    explicit operator bool() const { return static_cast<bool>(steps_); }
    int64_t positions() const { return positions_; }

    void map(int64_t* dimension) const {
        for (int64_t p = 0; p < positions_; ++p) dimension[p] = p;
    }

    // Whole vectors are stored; what lies beyond the positions is 0.
    [[gnu::noinline]] void decode(const uint8_t* rows, int64_t row_bytes, int count, const uint8_t*, uint8_t* out,
                             int64_t stride) const {
        for (int64_t at = 0; at < positions_; at += 64) {
            const Step step = steps_[at / 64];
            const uint8_t* row = rows;
            uint8_t* to = out + at;
            for (int i = 0; i < count; ++i, row += row_bytes, to += stride)
                _mm512_storeu_si512(to, look_up(step, row));
        }
    }

    // Likewise, one row in f32.
    PLAIT_INLINE void decode(const uint8_t* row, float* out) const {
        for (int64_t at = 0; at < positions_; at += 64, out += 64) {
            const __m512i x = look_up(steps_[at / 64], row);
            store(out, widen(_mm512_castsi512_si128(x)));
            store(out + 16, widen(_mm512_extracti32x4_epi32(x, 1)));
            store(out + 32, widen(_mm512_extracti32x4_epi32(x, 2)));
            store(out + 48, widen(_mm512_extracti32x4_epi32(x, 3)));
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

    static PLAIT_INLINE F32 widen(__m128i x) { return to_float(_mm512_cvtepi8_epi32(x)); }

    PLAIT_INLINE __m512i look_up(const Step& step, const uint8_t* row) const {
        const __m512i bytes = _mm512_maskz_loadu_epi8(step.wanted, row + step.window);
        const __m512i low = _mm512_multishift_epi64_epi8(step.shift, _mm512_permutexvar_epi8(step.byte, bytes));
        // low & mask | base
        return _mm512_permutexvar_epi8(_mm512_ternarylogic_epi64(low, step.mask, step.base, 0xea), table_);
    }

    template <int kBits>
    static void put(uint8_t* table, const uint8_t* levels) {
        for (int i = 0; i < 1 << kBits; ++i) table[i] = levels[reversed<kBits>(i)];
    }

    void prepare(const int64_t* bits, int64_t number) {
        alignas(64) uint8_t byte[64] = {}, shift[64] = {}, mask[64] = {}, base[64];
        for (uint8_t& none : base) none = 48;  // where the table has zeros
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

// The levels of packed rows in f32, in the order of the dimensions.
class FloatLevels {
public:
    explicit FloatLevels(const int64_t* bits) : rows_(bits, 0) {}

    explicit operator bool() const { return static_cast<bool>(rows_); }

    // Floats to keep for a row of `width` dimensions.
    static int64_t room(int64_t width) { return round_up(width, 64); }

    PLAIT_INLINE void decode(const uint8_t* row, float* out) const { rows_.decode(row, out); }

private:
    LevelRows rows_;
};

}  // namespace
}  // namespace plait::PLAIT_ISA
