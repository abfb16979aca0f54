// No instruction set in particular: 16 lanes in the compiler's generic vectors, which become whatever
// the target has (SSE2, NEON) or loops. Runs anywhere; the other paths are the fast ones.
#pragma once

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int kWidth = 16;
typedef float F32 __attribute__((vector_size(64)));
typedef int32_t I32 __attribute__((vector_size(64)));
typedef int16_t I16 __attribute__((vector_size(32)));

PLAIT_INLINE F32 load(const float* p) { return unaligned<F32>(p); }
PLAIT_INLINE I32 load(const int32_t* p) { return unaligned<I32>(p); }
PLAIT_INLINE void store(float* p, F32 v) { __builtin_memcpy(p, &v, sizeof v); }
PLAIT_INLINE void store(int32_t* p, I32 v) { __builtin_memcpy(p, &v, sizeof v); }
PLAIT_INLINE F32 splat(float v) { return F32{} + v; }
PLAIT_INLINE I32 splat(int32_t v) { return I32{} + v; }
PLAIT_INLINE F32 splat_half(const uint16_t* p) { return splat(half_to_float(*p)); }
PLAIT_INLINE I32 widen(I16 v) { return __builtin_convertvector(v, I32); }
PLAIT_INLINE I32 widen(const int16_t* p) { return widen(unaligned<I16>(p)); }
PLAIT_INLINE I32 add(I32 a, I32 b) {
    // Unsigned, because sums may wrap on corrupt input and that must be defined.
    typedef uint32_t U32 __attribute__((vector_size(64)));
    return (I32)((U32)a + (U32)b);
}
PLAIT_INLINE I32 shift_left(I32 v, int count) {
    typedef uint32_t U32 __attribute__((vector_size(64)));
    return (I32)((U32)v << static_cast<uint32_t>(count));
}
PLAIT_INLINE F32 to_float(I32 v) { return __builtin_convertvector(v, F32); }
PLAIT_INLINE F32 multiply(F32 a, F32 b) { return a * b; }
PLAIT_INLINE F32 larger(F32 fresh, F32 best) { return fresh > best ? fresh : best; }

PLAIT_INLINE void keep_larger(F32& best, I32& index, F32 fresh, int32_t at) {
    const auto more = fresh > best;
    best = more ? fresh : best;
    index = more ? splat(at) : index;
}

PLAIT_INLINE void store_rounded(int16_t* p, F32 v) {
    v = v > splat(-32768.0f) ? v : splat(-32768.0f);
    v = v < splat(32767.0f) ? v : splat(32767.0f);
    // Adding 1.5 * 2^23 leaves no room for a fraction: the sum is rounded to the nearest even integer.
    v = (v + splat(12582912.0f)) - splat(12582912.0f);
    const I16 whole = __builtin_convertvector(__builtin_convertvector(v, I32), I16);
    __builtin_memcpy(p, &whole, sizeof whole);
}

struct DotBytes {
    using Acc = I32;
    using Row = int16_t;
    using Query = int16_t;
    static constexpr int kPack = 1;
    static constexpr int kTile = 1;
    static constexpr bool kCentred = true;

    static PLAIT_INLINE I16 query(const Query* p) { return unaligned<I16>(p); }
    static PLAIT_INLINE I16 spread(const Row* p) { return I16{} + *p; }
    static PLAIT_INLINE void step(Acc& sum, I16 row, I16 query) { sum += widen(row * query); }  // at most 2^14
};
using DotLevels = DotBytes;

struct DotFloat {
    using Acc = F32;
    using Row = float;
    using Query = float;
    static constexpr int kPack = 1;
    static constexpr int kTile = 1;

    static PLAIT_INLINE F32 query(const Query* p) { return load(p); }
    static PLAIT_INLINE F32 spread(const Row* p) { return splat(*p); }
    static PLAIT_INLINE void step(Acc& sum, F32 row, F32 query) {
        for (int i = 0; i < kWidth; ++i) sum[i] = __builtin_fmaf(row[i], query[i], sum[i]);
    }
};

struct Short16 {
    static constexpr int kLanes = 16;
    I16 v;
    static PLAIT_INLINE Short16 load(const int16_t* p) { return {unaligned<I16>(p)}; }
    PLAIT_INLINE void store(int16_t* p) const { __builtin_memcpy(p, &v, sizeof v); }
    PLAIT_INLINE Short16 larger(Short16 b) const { return {v > b.v ? v : b.v}; }
    PLAIT_INLINE uint32_t above(Short16 b) const {
        uint32_t bits = 0;
        for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(v[i] > b.v[i]) << i;
        return bits;
    }
};
using Short32 = Pair<Short16>;

PLAIT_INLINE uint32_t above16(const float* p, float threshold) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(p[i] > threshold) << i;
    return bits;
}

// The entries below a value; all of them if it is NaN.
PLAIT_INLINE uint32_t below16(const float* p, float value) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(!(value <= p[i])) << i;
    return bits;
}

// sums[i] = row i . query for up to 16 rows of bytes.
PLAIT_INLINE void dot_rows(const uint8_t* rows, int64_t width, int64_t count, const int8_t* query, int32_t* sums) {
    for (int64_t i = 0; i < count; ++i, rows += width) {
        int32_t sum = 0;
        for (int64_t d = 0; d < width; ++d) sum += rows[d] * query[d];
        sums[i] = sum;
    }
}

// sums[i] = nibbles of row i . query for up to 16 rows. The query is four planes of bytes, `stride` apart: its upper
// parts, worth 128, for the low nibbles and for the high ones, then the lower ones.
PLAIT_INLINE void dot_nibbles(const uint8_t* rows, int64_t bytes, int64_t count, const int8_t* planes, int64_t stride,
                              int32_t* sums) {
    for (int64_t i = 0; i < count; ++i, rows += bytes) {
        int32_t upper = 0, lower = 0;
        for (int64_t at = 0; at < bytes; ++at) {
            const int32_t low = rows[at] & 15, high = rows[at] >> 4;
            upper += low * planes[at] + high * planes[stride + at];
            lower += low * planes[2 * stride + at] + high * planes[3 * stride + at];
        }
        sums[i] = 128 * upper + lower;
    }
}

template <int kBits>
struct Decoder {
    using Dot = DotBytes;
    static constexpr int kStripes = 8 / kBits;
    int16_t table[256][kStripes];

    void prepare(const uint8_t* levels, const Layout&) {
        for (int byte = 0; byte < 256; ++byte)
            for (int j = 0; j < kStripes; ++j)
                table[byte][j] = static_cast<int16_t>(levels[reversed<kBits>(byte >> (8 - kBits * (j + 1)))] -
                                                      (kBits == 8 ? 128 : 64));
    }

    PLAIT_INLINE void decode(const uint8_t* row, const uint8_t*, const Layout& layout, int16_t* out) const {
        for (int64_t i = 0; i < layout.bytes; ++i)
            for (int j = 0; j < kStripes; ++j) out[j * layout.stripe + i] = table[row[i]][j];
    }
};

}  // namespace
}  // namespace plait::PLAIT_ISA
