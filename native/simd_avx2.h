// Vectors of AVX2 with FMA and F16C: 8 lanes of 32 bits. With PLAIT_VNNI also the AVX-VNNI dot
// product (Alder Lake, Zen 5 and later), which takes any u8 and needs no care against saturation.
#pragma once

#include <immintrin.h>

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int kWidth = 8;
using F32 = __m256;
using I32 = __m256i;

PLAIT_INLINE __m256i load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
PLAIT_INLINE void store_bytes(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

PLAIT_INLINE F32 load(const float* p) { return _mm256_loadu_ps(p); }
PLAIT_INLINE I32 load(const int32_t* p) { return load_bytes(p); }
PLAIT_INLINE void store(float* p, F32 v) { _mm256_storeu_ps(p, v); }
PLAIT_INLINE void store(int32_t* p, I32 v) { store_bytes(p, v); }
PLAIT_INLINE F32 splat(float v) { return _mm256_set1_ps(v); }
PLAIT_INLINE I32 splat(int32_t v) { return _mm256_set1_epi32(v); }
PLAIT_INLINE F32 splat_half(const uint16_t* p) { return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(*p))); }
PLAIT_INLINE I32 widen(const int16_t* p) {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
PLAIT_INLINE I32 add(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
PLAIT_INLINE I32 shift_left(I32 v, int count) { return _mm256_sll_epi32(v, _mm_cvtsi32_si128(count)); }
PLAIT_INLINE F32 to_float(I32 v) { return _mm256_cvtepi32_ps(v); }
PLAIT_INLINE F32 multiply(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
PLAIT_INLINE F32 larger(F32 fresh, F32 best) { return _mm256_max_ps(fresh, best); }

PLAIT_INLINE void keep_larger(F32& best, I32& index, F32 fresh, int32_t at) {
    const F32 more = _mm256_cmp_ps(fresh, best, _CMP_GT_OQ);
    best = _mm256_blendv_ps(best, fresh, more);
    index = _mm256_blendv_epi8(index, _mm256_set1_epi32(at), _mm256_castps_si256(more));
}

PLAIT_INLINE void store_rounded(int16_t* p, F32 v) {
    v = _mm256_min_ps(_mm256_max_ps(v, splat(-32768.0f)), splat(32767.0f));
    const __m256i whole = _mm256_cvtps_epi32(v);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
}

#if PLAIT_VNNI
struct Dot8 {
    using Acc = I32;
    using Row = uint8_t;
    using Query = int8_t;
    static constexpr int kPack = 4;
    static constexpr int kTile = 6;
    static constexpr bool kCentred = false;

    static PLAIT_INLINE I32 query(const Query* p) { return load_bytes(p); }
    static PLAIT_INLINE I32 spread(const Row* p) { return _mm256_set1_epi32(unaligned<int32_t>(p)); }
    static PLAIT_INLINE void step(Acc& sum, I32 row, I32 query) {
        asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(row), "x"(query));
    }
};
using DotLevels = Dot8;
using DotBytes = Dot8;
#else
// Rows of levels below 128: a pair of products, at most 2 * 127 * 128, fits an i16 without saturation.
struct DotLevels {
    using Acc = I32;
    using Row = uint8_t;
    using Query = int8_t;
    static constexpr int kPack = 4;
    static constexpr int kTile = 4;
    static constexpr bool kCentred = false;

    static PLAIT_INLINE I32 query(const Query* p) { return load_bytes(p); }
    static PLAIT_INLINE I32 spread(const Row* p) { return _mm256_set1_epi32(unaligned<int32_t>(p)); }
    static PLAIT_INLINE void step(Acc& sum, I32 row, I32 query) {
        const I32 pairs = _mm256_maddubs_epi16(row, query);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};

// Any u8 would saturate above, so these rows are widened to i16: 4 instructions for 4 products
// instead of 3, and none of the tricks that keep to bytes is shorter.
struct DotBytes {
    using Acc = I32;
    using Row = int16_t;
    using Query = int16_t;
    static constexpr int kPack = 2;
    static constexpr int kTile = 6;
    static constexpr bool kCentred = true;

    static PLAIT_INLINE I32 query(const Query* p) { return load_bytes(p); }
    static PLAIT_INLINE I32 spread(const Row* p) { return _mm256_set1_epi32(unaligned<int32_t>(p)); }
    static PLAIT_INLINE void step(Acc& sum, I32 row, I32 query) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(row, query));
    }
};
#endif

struct DotFloat {
    using Acc = F32;
    using Row = float;
    using Query = float;
    static constexpr int kPack = 1;
    static constexpr int kTile = 6;

    static PLAIT_INLINE F32 query(const Query* p) { return load(p); }
    static PLAIT_INLINE F32 spread(const Row* p) { return _mm256_broadcast_ss(p); }
    static PLAIT_INLINE void step(Acc& sum, F32 row, F32 query) { sum = _mm256_fmadd_ps(row, query, sum); }
};

struct Short16 {
    static constexpr int kLanes = 16;
    __m256i v;
    static PLAIT_INLINE Short16 load(const int16_t* p) { return {load_bytes(p)}; }
    PLAIT_INLINE void store(int16_t* p) const { store_bytes(p, v); }
    PLAIT_INLINE Short16 larger(Short16 b) const { return {_mm256_max_epi16(v, b.v)}; }
    PLAIT_INLINE uint32_t above(Short16 b) const {
        const __m256i more = _mm256_cmpgt_epi16(v, b.v);
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(more), _mm256_extracti128_si256(more, 1));
        return static_cast<uint32_t>(_mm_movemask_epi8(bytes));
    }
};
using Short32 = Pair<Short16>;

PLAIT_INLINE uint32_t above16(const float* p, float threshold) {
    const F32 limit = splat(threshold);
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(load(p), limit, _CMP_GT_OQ));
    const int high = _mm256_movemask_ps(_mm256_cmp_ps(load(p + 8), limit, _CMP_GT_OQ));
    return static_cast<uint32_t>(low | high << 8);
}

// The entries below a value; all of them if it is NaN.
PLAIT_INLINE uint32_t below16(const float* p, float value) {
    const F32 limit = splat(value);
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(limit, load(p), _CMP_NLE_UQ));
    const int high = _mm256_movemask_ps(_mm256_cmp_ps(limit, load(p + 8), _CMP_NLE_UQ));
    return static_cast<uint32_t>(low | high << 8);
}

// sums[i] = row i . query for up to 16 rows of bytes whose width is a multiple of 8.
PLAIT_INLINE void dot_rows(const uint8_t* rows, int64_t width, int64_t count, const int8_t* query, int32_t* sums) {
    for (int64_t i = 0; i < count; ++i, rows += width) {
        __m256i sum = _mm256_setzero_si256();
        int64_t at = 0;
        for (; at + 16 <= width; at += 16) {
            const __m256i r = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + at)));
            const __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query + at)));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(r, q));
        }
        if (at < width) {
            const __m256i r = _mm256_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows + at)));
            const __m256i q = _mm256_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(query + at)));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(r, q));
        }
        __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
        sums[i] = _mm_cvtsi128_si32(half);
    }
}

// sums[i] = nibbles of row i . query for up to 16 rows of a multiple of 8 bytes. The query is four planes of bytes,
// `stride` apart and padded with zeros: its upper parts, worth 128, for the low nibbles and for the high ones, then
// the lower ones.
PLAIT_INLINE void dot_nibbles(const uint8_t* rows, int64_t bytes, int64_t count, const int8_t* planes, int64_t stride,
                              int32_t* sums) {
    const __m256i fifteen = _mm256_set1_epi8(15);
    for (int64_t i = 0; i < count; ++i, rows += bytes) {
        __m256i upper = _mm256_setzero_si256(), lower = upper;
        const auto step = [&](__m256i row, int64_t at) {
            const __m256i low = _mm256_and_si256(row, fifteen);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(row, 4), fifteen);
            DotLevels::step(upper, low, load_bytes(planes + at));
            DotLevels::step(upper, high, load_bytes(planes + stride + at));
            DotLevels::step(lower, low, load_bytes(planes + 2 * stride + at));
            DotLevels::step(lower, high, load_bytes(planes + 3 * stride + at));
        };
        int64_t at = 0;
        for (; at + 32 <= bytes; at += 32) step(load_bytes(rows + at), at);
        for (; at < bytes; at += 8)  // the query's bytes beside these 8 meet zeros
            step(_mm256_zextsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows + at))), at);
        const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(upper, 7), lower);
        __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
        sums[i] = _mm_cvtsi128_si32(half);
    }
}

// A row of at most 32 bytes from where 32 can be read. To read on into the next row is harmless; to read
// beyond the array is not.
PLAIT_INLINE const uint8_t* readable(const uint8_t* row, int64_t bytes, const uint8_t* end, uint8_t* copy) {
    if (end - row >= 32) return row;
    __builtin_memset(copy, 0, 32);
    __builtin_memcpy(copy, row, static_cast<size_t>(bytes));
    return copy;
}

template <int kBits>
struct Decoder {
    using Dot = DotLevels;
    __m256i table;  // the levels of the bit-reversed buckets, repeated over 16 places

    void prepare(const uint8_t* levels, const Layout&) {
        alignas(32) uint8_t bytes[32];
        for (int i = 0; i < 32; ++i) bytes[i] = levels[reversed<kBits>(i)];
        table = _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
    }

    template <int kStripe>
    PLAIT_INLINE __m256i stripe(__m256i x) const {
        if constexpr (kBits == 1) {
            return pick(x, _mm256_set1_epi8(static_cast<char>(128 >> kStripe)));
        } else {
            const __m256i low = _mm256_srli_epi16(x, 8 - kBits * (kStripe + 1));
            return _mm256_shuffle_epi8(table, _mm256_and_si256(low, _mm256_set1_epi8(15)));
        }
    }

    PLAIT_INLINE __m256i pick(__m256i x, __m256i bits) const {
        const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(x, bits), bits);
        const __m256i zero = _mm256_shuffle_epi8(table, _mm256_setzero_si256());
        const __m256i one = _mm256_shuffle_epi8(table, _mm256_set1_epi8(1));
        return _mm256_blendv_epi8(zero, one, set);
    }

    template <int kStripe>
    PLAIT_INLINE void put(__m256i x, uint8_t* out, int64_t stripe_bytes) const {
        if constexpr (kStripe < 8 / kBits) {
            store_bytes(out, stripe<kStripe>(x));
            put<kStripe + 1>(x, out + stripe_bytes, stripe_bytes);
        }
    }

    PLAIT_INLINE void decode(const uint8_t* row, const uint8_t* end, const Layout& layout, uint8_t* out) const {
        const int64_t bytes = layout.bytes;
        if constexpr (kBits == 1) {
            if (bytes == 16) {  // 128 dimensions: two stripes in one vector
                const __m256i x = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row)));
                for (int i = 0; i < 4; ++i) {
                    const __m256i bits = _mm256_set_m128i(_mm_set1_epi8(static_cast<char>(64 >> 2 * i)),
                                                          _mm_set1_epi8(static_cast<char>(128 >> 2 * i)));
                    store_bytes(out + 32 * i, pick(x, bits));
                }
                return;
            }
        }
        if (bytes <= 32) {
            alignas(32) uint8_t copy[32];
            put<0>(load_bytes(readable(row, bytes, end, copy)), out, layout.stripe);
            return;
        }
        for (int64_t at = 0; at < bytes; at += 32) {
            if (at > bytes - 32) at = bytes - 32;
            put<0>(load_bytes(row + at), out + at, layout.stripe);
        }
    }
};

// A table of 256 in 16 shuffles. A shuffle gives 0 for an index with the sign bit set, so table h is xored
// in for every index of at least 16 * h, and holds the difference to the table before it. Indices from
// 128 on have the sign bit from the start: they take the other eight tables, with the bit turned.
template <>
struct Decoder<8> {
    using Dot = DotBytes;
    __m256i differences[16];

    void prepare(const uint8_t* levels, const Layout&) {
        for (int h = 0; h < 16; ++h) {
            alignas(32) uint8_t bytes[32];
            for (int i = 0; i < 32; ++i) {
                const int at = 16 * h + i % 16;
                bytes[i] = levels[reversed<8>(at)] ^ (h % 8 ? levels[reversed<8>(at - 16)] : 0);
            }
            differences[h] = _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
        }
    }

    PLAIT_INLINE __m256i look_up(__m256i x) const {
        const __m256i sixteen = _mm256_set1_epi8(16);
        __m256i low = x, high = _mm256_xor_si256(x, _mm256_set1_epi8(-128));
        __m256i found = _mm256_xor_si256(_mm256_shuffle_epi8(differences[0], low),
                                         _mm256_shuffle_epi8(differences[8], high));
        for (int h = 1; h < 8; ++h) {
            low = _mm256_subs_epi8(low, sixteen);
            high = _mm256_subs_epi8(high, sixteen);
            found = _mm256_xor_si256(found, _mm256_shuffle_epi8(differences[h], low));
            found = _mm256_xor_si256(found, _mm256_shuffle_epi8(differences[h + 8], high));
        }
        return found;
    }

    static PLAIT_INLINE void put(__m256i found, uint8_t* out) { store_bytes(out, found); }
    static PLAIT_INLINE void put(__m256i found, int16_t* out) {  // centred
        const __m256i zero = _mm256_set1_epi16(128);
        const __m256i first = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(found));
        const __m256i second = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(found, 1));
        store_bytes(out, _mm256_sub_epi16(first, zero));
        store_bytes(out + 16, _mm256_sub_epi16(second, zero));
    }

    PLAIT_INLINE void decode(const uint8_t* row, const uint8_t* end, const Layout& layout, Dot::Row* out) const {
        const int64_t bytes = layout.bytes;
        if (bytes <= 32) {
            alignas(32) uint8_t copy[32];
            put(look_up(load_bytes(readable(row, bytes, end, copy))), out);
            return;
        }
        for (int64_t at = 0; at < bytes; at += 32) {
            if (at > bytes - 32) at = bytes - 32;
            put(look_up(load_bytes(row + at)), out + at);
        }
    }
};

}  // namespace
}  // namespace plait::PLAIT_ISA
