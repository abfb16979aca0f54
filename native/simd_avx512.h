// Vectors of AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later): 16 lanes of 32 bits.
#pragma once

#include <immintrin.h>

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int kWidth = 16;
using F32 = __m512;
using I32 = __m512i;

PLAIT_INLINE F32 load(const float* p) { return _mm512_loadu_ps(p); }
PLAIT_INLINE I32 load(const int32_t* p) { return _mm512_loadu_si512(p); }
PLAIT_INLINE void store(float* p, F32 v) { _mm512_storeu_ps(p, v); }
PLAIT_INLINE void store(int32_t* p, I32 v) { _mm512_storeu_si512(p, v); }
PLAIT_INLINE F32 splat(float v) { return _mm512_set1_ps(v); }
PLAIT_INLINE I32 splat(int32_t v) { return _mm512_set1_epi32(v); }
PLAIT_INLINE F32 splat_half(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(*p)));
}
PLAIT_INLINE I32 widen(const int16_t* p) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
PLAIT_INLINE I32 add(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
PLAIT_INLINE I32 shift_left(I32 v, int count) { return _mm512_sll_epi32(v, _mm_cvtsi32_si128(count)); }
PLAIT_INLINE F32 to_float(I32 v) { return _mm512_cvtepi32_ps(v); }
PLAIT_INLINE F32 multiply(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
PLAIT_INLINE F32 larger(F32 fresh, F32 best) { return _mm512_max_ps(fresh, best); }

PLAIT_INLINE void keep_larger(F32& best, I32& index, F32 fresh, int32_t at) {
    const __mmask16 more = _mm512_cmp_ps_mask(fresh, best, _CMP_GT_OQ);
    best = _mm512_mask_mov_ps(best, more, fresh);
    index = _mm512_mask_mov_epi32(index, more, _mm512_set1_epi32(at));
}

PLAIT_INLINE void store_rounded(int16_t* p, F32 v) {
    v = _mm512_min_ps(_mm512_max_ps(v, splat(-32768.0f)), splat(32767.0f));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
}

// Four u8 x i8 products per lane and step.
struct Dot8 {
    using Acc = I32;
    using Row = uint8_t;
    using Query = int8_t;
    static constexpr int kPack = 4;
    static constexpr int kTile = 12;
    static constexpr bool kCentred = false;

    static PLAIT_INLINE I32 query(const Query* p) { return _mm512_loadu_si512(p); }
    static PLAIT_INLINE I32 spread(const Row* p) { return _mm512_set1_epi32(unaligned<int32_t>(p)); }
    static PLAIT_INLINE void step(Acc& sum, I32 row, I32 query) {
        // Not _mm512_dpbusd_epi32: with it gcc 12 moves the sums to the stack, at half the speed.
        asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(query));
    }
};
using DotLevels = Dot8;  // rows of levels below 128
using DotBytes = Dot8;   // rows of any u8

struct DotFloat {
    using Acc = F32;
    using Row = float;
    using Query = float;
    static constexpr int kPack = 1;
    static constexpr int kTile = 12;

    static PLAIT_INLINE F32 query(const Query* p) { return _mm512_loadu_ps(p); }
    static PLAIT_INLINE F32 spread(const Row* p) { return _mm512_set1_ps(*p); }
    static PLAIT_INLINE void step(Acc& sum, F32 row, F32 query) { sum = _mm512_fmadd_ps(row, query, sum); }
};

// 16 and 32 lanes of i16.
struct Short16 {
    static constexpr int kLanes = 16;
    __m256i v;
    static PLAIT_INLINE Short16 load(const int16_t* p) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
    }
    PLAIT_INLINE void store(int16_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
    PLAIT_INLINE Short16 larger(Short16 b) const { return {_mm256_max_epi16(v, b.v)}; }
    PLAIT_INLINE uint32_t above(Short16 b) const { return _mm256_cmpgt_epi16_mask(v, b.v); }
};
struct Short32 {
    static constexpr int kLanes = 32;
    __m512i v;
    static PLAIT_INLINE Short32 load(const int16_t* p) { return {_mm512_loadu_si512(p)}; }
    PLAIT_INLINE void store(int16_t* p) const { _mm512_storeu_si512(p, v); }
    PLAIT_INLINE Short32 larger(Short32 b) const { return {_mm512_max_epi16(v, b.v)}; }
    PLAIT_INLINE uint32_t above(Short32 b) const { return _mm512_cmpgt_epi16_mask(v, b.v); }
};

PLAIT_INLINE uint32_t above16(const float* p, float threshold) {
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(p), _mm512_set1_ps(threshold), _CMP_GT_OQ);
}
// The entries below a value; all of them if it is NaN.
PLAIT_INLINE uint32_t below16(const float* p, float value) {
    return _mm512_cmp_ps_mask(_mm512_set1_ps(value), _mm512_loadu_ps(p), _CMP_NLE_UQ);
}

// Four sums at a time: products of bytes per lane, then a tree that adds across lanes.
PLAIT_INLINE __m128i dot_four(const uint8_t* rows, int64_t width, const int8_t* query) {
    I32 a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (int64_t at = 0; at < width; at += 64) {
        const __mmask64 part = width - at >= 64 ? ~0ull : ~0ull >> (64 - (width - at));
        const I32 q = _mm512_loadu_si512(query + at);  // padded
        const uint8_t* row = rows + at;
        Dot8::step(a, _mm512_maskz_loadu_epi8(part, row), q);
        Dot8::step(b, _mm512_maskz_loadu_epi8(part, row + width), q);
        Dot8::step(c, _mm512_maskz_loadu_epi8(part, row + 2 * width), q);
        Dot8::step(d, _mm512_maskz_loadu_epi8(part, row + 3 * width), q);
    }
    const I32 ab = add(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const I32 cd = add(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const I32 all = add(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

PLAIT_INLINE int32_t dot_one(const uint8_t* row, int64_t width, const int8_t* query) {
    I32 sum = _mm512_setzero_si512();
    for (int64_t at = 0; at < width; at += 64) {
        const __mmask64 part = width - at >= 64 ? ~0ull : ~0ull >> (64 - (width - at));
        Dot8::step(sum, _mm512_maskz_loadu_epi8(part, row + at), _mm512_loadu_si512(query + at));
    }
    return _mm512_reduce_add_epi32(sum);
}

// sums[i] = row i . query for up to 16 rows of bytes; the query is padded with zeros to whole vectors.
PLAIT_INLINE void dot_rows(const uint8_t* rows, int64_t width, int64_t count, const int8_t* query, int32_t* sums) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + i), dot_four(rows + i * width, width, query));
    for (; i < count; ++i) sums[i] = dot_one(rows + i * width, width, query);
}

// Of a row of nibbles: upper and lower part of the query with the low nibbles and with the high ones.
PLAIT_INLINE void step_nibbles(I32& upper, I32& lower, I32 bytes, const I32* query) {
    const I32 low = _mm512_and_si512(bytes, _mm512_set1_epi8(15));
    const I32 high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(15));
    Dot8::step(upper, low, query[0]);
    Dot8::step(upper, high, query[1]);
    Dot8::step(lower, low, query[2]);
    Dot8::step(lower, high, query[3]);
}

template <int kRows>
PLAIT_INLINE void dot_nibble_rows(const uint8_t* rows, int64_t bytes, const int8_t* planes, int64_t stride, I32* total) {
    I32 upper[kRows], lower[kRows];
    for (int r = 0; r < kRows; ++r) upper[r] = lower[r] = _mm512_setzero_si512();
    for (int64_t at = 0; at < bytes; at += 64) {
        const __mmask64 part = bytes - at >= 64 ? ~0ull : ~0ull >> (64 - (bytes - at));
        I32 query[4];
        for (int plane = 0; plane < 4; ++plane) query[plane] = _mm512_loadu_si512(planes + plane * stride + at);
        for (int r = 0; r < kRows; ++r)
            step_nibbles(upper[r], lower[r], _mm512_maskz_loadu_epi8(part, rows + r * bytes + at), query);
    }
    for (int r = 0; r < kRows; ++r) total[r] = add(_mm512_slli_epi32(upper[r], 7), lower[r]);
}

// sums[i] = nibbles of row i . query for up to 16 rows. The query is four planes of bytes, `stride` apart and padded
// with zeros to whole vectors: its upper parts, worth 128, for the low nibbles and for the high ones, then the lower.
PLAIT_INLINE void dot_nibbles(const uint8_t* rows, int64_t bytes, int64_t count, const int8_t* planes, int64_t stride,
                              int32_t* sums) {
    int64_t i = 0;
    I32 t[4];
    for (; i + 4 <= count; i += 4) {
        dot_nibble_rows<4>(rows + i * bytes, bytes, planes, stride, t);
        const I32 ab = add(_mm512_unpacklo_epi32(t[0], t[1]), _mm512_unpackhi_epi32(t[0], t[1]));
        const I32 cd = add(_mm512_unpacklo_epi32(t[2], t[3]), _mm512_unpackhi_epi32(t[2], t[3]));
        const I32 all = add(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + i),
                         _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
    }
    for (; i < count; ++i) {
        dot_nibble_rows<1>(rows + i * bytes, bytes, planes, stride, t);
        sums[i] = _mm512_reduce_add_epi32(t[0]);
    }
}

// Bucket numbers to levels, 64 at a time, in the order that Layout (portable.h) states.
template <int kBits>
struct Decoder {
    using Dot = Dot8;
    __m512i table[4];
    // Of rows of at most 64 bytes: for each position of the decoded row its byte, and where in the eight
    // bytes around it the bucket begins.
    int64_t vectors;
    __m512i byte[8], shift[8];

    void prepare(const uint8_t* levels, const Layout& layout) {
        alignas(64) uint8_t bytes[512] = {}, shifts[512] = {};
        for (int i = 0; i < 256; ++i) bytes[i] = levels[reversed<kBits>(i)];
        for (int i = 0; i < 4; ++i) table[i] = _mm512_load_si512(bytes + 64 * i);
        if (layout.bytes > 64) return;
        vectors = (layout.positions() + 63) / 64;
        for (int64_t at = 0; at < layout.positions(); ++at) {
            bytes[at] = static_cast<uint8_t>(at % layout.stripe);
            shifts[at] = static_cast<uint8_t>(8 * (at % 8) + 8 - kBits * (at / layout.stripe + 1));
        }
        for (int i = 0; i < 8; ++i) {
            byte[i] = _mm512_load_si512(bytes + 64 * i);
            shift[i] = _mm512_load_si512(shifts + 64 * i);
        }
    }

    PLAIT_INLINE __m512i look_up(__m512i x) const {
        // vpermb reads the low six bits of an index; the table repeats over those that are not the bucket's.
        if constexpr (kBits < 8) return _mm512_permutexvar_epi8(x, table[0]);
        const __m512i low = _mm512_permutex2var_epi8(table[0], x, table[1]);
        const __m512i high = _mm512_permutex2var_epi8(table[2], x, table[3]);
        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
    }

    template <int kStripe>
    PLAIT_INLINE void put(__m512i x, uint8_t* out, int64_t stripe_bytes) const {
        if constexpr (kStripe < 8 / kBits) {
            _mm512_storeu_si512(out, look_up(_mm512_srli_epi16(x, 8 - kBits * (kStripe + 1))));
            put<kStripe + 1>(x, out + stripe_bytes, stripe_bytes);
        }
    }

    PLAIT_INLINE void decode(const uint8_t* row, const uint8_t*, const Layout& layout, uint8_t* out) const {
        const int64_t bytes = layout.bytes;
        if (bytes <= 64) {
            const __m512i x = _mm512_maskz_loadu_epi8(~0ull >> (64 - bytes), row);
            if constexpr (kBits == 8) {
                _mm512_storeu_si512(out, look_up(x));
            } else {
                for (int64_t i = 0; i < vectors; ++i) {
                    const __m512i spread = _mm512_permutexvar_epi8(byte[i], x);
                    _mm512_storeu_si512(out + 64 * i, look_up(_mm512_multishift_epi64_epi8(shift[i], spread)));
                }
            }
            return;
        }
        for (int64_t at = 0; at < bytes; at += 64) {
            // The last vector overlaps the one before it instead of running into the next stripe.
            if (at > bytes - 64) at = bytes - 64;
            put<0>(_mm512_loadu_si512(row + at), out + at, layout.stripe);
        }
    }
};

}  // namespace
}  // namespace plait::PLAIT_ISA
