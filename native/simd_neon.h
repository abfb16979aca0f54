// Vectors of NEON with the dot-product extension (SDOT; every Armv8.2 server core and Apple's): 4 lanes of
// 32 bits. SDOT multiplies signed bytes: rows of levels are below 128 and are taken as they are, rows around
// 128 lose 128 when they are spread.
#pragma once

#include <arm_neon.h>

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int kWidth = 4;
using F32 = float32x4_t;
using I32 = int32x4_t;

PLAIT_INLINE F32 load(const float* p) { return vld1q_f32(p); }
PLAIT_INLINE I32 load(const int32_t* p) { return vld1q_s32(p); }
PLAIT_INLINE void store(float* p, F32 v) { vst1q_f32(p, v); }
PLAIT_INLINE void store(int32_t* p, I32 v) { vst1q_s32(p, v); }
PLAIT_INLINE F32 splat(float v) { return vdupq_n_f32(v); }
PLAIT_INLINE I32 splat(int32_t v) { return vdupq_n_s32(v); }
PLAIT_INLINE F32 splat_half(const uint16_t* p) { return splat(half_to_float(*p)); }
PLAIT_INLINE I32 widen(const int16_t* p) { return vmovl_s16(vld1_s16(p)); }
PLAIT_INLINE I32 add(I32 a, I32 b) { return vaddq_s32(a, b); }
PLAIT_INLINE I32 shift_left(I32 v, int count) { return vshlq_s32(v, splat(count)); }
PLAIT_INLINE F32 to_float(I32 v) { return vcvtq_f32_s32(v); }
PLAIT_INLINE F32 multiply(F32 a, F32 b) { return vmulq_f32(a, b); }
// Chosen and not vmaxq: a NaN must lose, as in the other instruction sets.
PLAIT_INLINE F32 larger(F32 fresh, F32 best) { return vbslq_f32(vcgtq_f32(fresh, best), fresh, best); }

PLAIT_INLINE void keep_larger(F32& best, I32& index, F32 fresh, int32_t at) {
    const uint32x4_t more = vcgtq_f32(fresh, best);
    best = vbslq_f32(more, fresh, best);
    index = vbslq_s32(more, splat(at), index);
}

PLAIT_INLINE void store_rounded(int16_t* p, F32 v) {
    v = larger(v, splat(-32768.0f));
    v = vbslq_f32(vcltq_f32(v, splat(32767.0f)), v, splat(32767.0f));
    vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(v)));
}

template <int kZero>
struct Dot8 {
    using Acc = I32;
    using Row = uint8_t;
    using Query = int8_t;
    static constexpr int kPack = 4;
    static constexpr int kTile = 8;
    static constexpr bool kCentred = kZero != 0;

    static PLAIT_INLINE int8x16_t query(const Query* p) { return vld1q_s8(p); }
    static PLAIT_INLINE int8x16_t spread(const Row* p) {
        const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(unaligned<uint32_t>(p)));
        return vreinterpretq_s8_u8(kZero ? veorq_u8(bytes, vdupq_n_u8(kZero)) : bytes);
    }
    static PLAIT_INLINE void step(Acc& sum, int8x16_t row, int8x16_t query) { sum = vdotq_s32(sum, row, query); }
};
using DotLevels = Dot8<0>;
using DotBytes = Dot8<128>;

struct DotFloat {
    using Acc = F32;
    using Row = float;
    using Query = float;
    static constexpr int kPack = 1;
    static constexpr int kTile = 8;

    static PLAIT_INLINE F32 query(const Query* p) { return load(p); }
    static PLAIT_INLINE F32 spread(const Row* p) { return vld1q_dup_f32(p); }
    static PLAIT_INLINE void step(Acc& sum, F32 row, F32 query) { sum = vfmaq_f32(sum, row, query); }
};

// One bit for each of 16 bytes that are 0 or 255.
PLAIT_INLINE uint32_t bits_of(uint8x16_t mask) {
    alignas(16) static constexpr uint8_t kBit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bits = vandq_u8(mask, vld1q_u8(kBit));
    return static_cast<uint32_t>(vaddv_u8(vget_low_u8(bits)) | vaddv_u8(vget_high_u8(bits)) << 8);
}

struct Short16 {
    static constexpr int kLanes = 16;
    int16x8_t low, high;
    static PLAIT_INLINE Short16 load(const int16_t* p) { return {vld1q_s16(p), vld1q_s16(p + 8)}; }
    PLAIT_INLINE void store(int16_t* p) const {
        vst1q_s16(p, low);
        vst1q_s16(p + 8, high);
    }
    PLAIT_INLINE Short16 larger(Short16 b) const { return {vmaxq_s16(low, b.low), vmaxq_s16(high, b.high)}; }
    PLAIT_INLINE uint32_t above(Short16 b) const {
        return bits_of(vcombine_u8(vmovn_u16(vcgtq_s16(low, b.low)), vmovn_u16(vcgtq_s16(high, b.high))));
    }
};
using Short32 = Pair<Short16>;

template <class Compare>
PLAIT_INLINE uint32_t compare16(const float* p, const Compare& compare) {
    const uint16x8_t low = vcombine_u16(vmovn_u32(compare(load(p))), vmovn_u32(compare(load(p + 4))));
    const uint16x8_t high = vcombine_u16(vmovn_u32(compare(load(p + 8))), vmovn_u32(compare(load(p + 12))));
    return bits_of(vcombine_u8(vmovn_u16(low), vmovn_u16(high)));
}

PLAIT_INLINE uint32_t above16(const float* p, float threshold) {
    return compare16(p, [&](F32 v) { return vcgtq_f32(v, splat(threshold)); });
}

// The entries below a value; all of them if it is NaN.
PLAIT_INLINE uint32_t below16(const float* p, float value) {
    return compare16(p, [&](F32 v) { return vmvnq_u32(vcleq_f32(splat(value), v)); });
}

// sums[i] = row i . query for up to 16 rows of bytes whose width is a multiple of 8.
PLAIT_INLINE void dot_rows(const uint8_t* rows, int64_t width, int64_t count, const int8_t* query, int32_t* sums) {
    int32_t total = 0;
    for (int64_t d = 0; d < width; ++d) total += query[d];
    const uint8x16_t zero = vdupq_n_u8(128);
    for (int64_t i = 0; i < count; ++i, rows += width) {
        int32x4_t sum = splat(int32_t{0});
        int64_t at = 0;
        for (; at + 16 <= width; at += 16)
            sum = vdotq_s32(sum, vreinterpretq_s8_u8(veorq_u8(vld1q_u8(rows + at), zero)), vld1q_s8(query + at));
        int32_t rest = 0;
        if (at < width)
            rest = vaddv_s32(vdot_s32(vdup_n_s32(0), vreinterpret_s8_u8(veor_u8(vld1_u8(rows + at), vget_low_u8(zero))),
                                      vld1_s8(query + at)));
        sums[i] = vaddvq_s32(sum) + rest + 128 * total;
    }
}

// sums[i] = nibbles of row i . query for up to 16 rows of a multiple of 8 bytes. The query is four planes of bytes,
// `stride` apart and padded with zeros: its upper parts, worth 128, for the low nibbles and for the high ones, then
// the lower ones.
PLAIT_INLINE void dot_nibbles(const uint8_t* rows, int64_t bytes, int64_t count, const int8_t* planes, int64_t stride,
                              int32_t* sums) {
    const uint8x16_t fifteen = vdupq_n_u8(15);
    for (int64_t i = 0; i < count; ++i, rows += bytes) {
        int32x4_t upper = splat(int32_t{0}), lower = upper;
        const auto step = [&](uint8x16_t row, int64_t at) {
            const int8x16_t low = vreinterpretq_s8_u8(vandq_u8(row, fifteen));
            const int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(row, 4));
            upper = vdotq_s32(upper, low, vld1q_s8(planes + at));
            upper = vdotq_s32(upper, high, vld1q_s8(planes + stride + at));
            lower = vdotq_s32(lower, low, vld1q_s8(planes + 2 * stride + at));
            lower = vdotq_s32(lower, high, vld1q_s8(planes + 3 * stride + at));
        };
        int64_t at = 0;
        for (; at + 16 <= bytes; at += 16) step(vld1q_u8(rows + at), at);
        if (at < bytes) step(vcombine_u8(vld1_u8(rows + at), vdup_n_u8(0)), at);
        sums[i] = vaddvq_s32(vaddq_s32(vshlq_n_s32(upper, 7), lower));
    }
}

// Sixteen bytes of a row, of which only as many are read as the array has.
PLAIT_INLINE uint8x16_t load_row(const uint8_t* row, int64_t bytes, const uint8_t* end) {
    if (end - row >= 16) return vld1q_u8(row);
    uint8_t copy[16] = {};
    __builtin_memcpy(copy, row, static_cast<size_t>(bytes));
    return vld1q_u8(copy);
}

// Calls `put(bytes, at)` for all of a row in pieces of 16 bytes; the last two may overlap.
template <class Put>
PLAIT_INLINE void each_sixteen(const uint8_t* row, int64_t bytes, const uint8_t* end, const Put& put) {
    if (bytes <= 16) return put(load_row(row, bytes, end), int64_t{0});
    for (int64_t at = 0; at < bytes; at += 16) {
        if (at > bytes - 16) at = bytes - 16;
        put(vld1q_u8(row + at), at);
    }
}

template <int kBits>
struct Decoder {
    using Dot = DotLevels;
    uint8x16_t table;  // the levels of the bit-reversed buckets

    void prepare(const uint8_t* levels, const Layout&) {
        uint8_t bytes[16];
        for (int i = 0; i < 16; ++i) bytes[i] = levels[reversed<kBits>(i % (1 << kBits))];
        table = vld1q_u8(bytes);
    }

    template <int kStripe>
    PLAIT_INLINE void put(uint8x16_t x, uint8_t* out, int64_t stripe_bytes) const {
        if constexpr (kStripe < 8 / kBits) {
            const int8x16_t right = vdupq_n_s8(static_cast<int8_t>(kBits * (kStripe + 1) - 8));
            const uint8x16_t buckets = vandq_u8(vshlq_u8(x, right), vdupq_n_u8((1 << kBits) - 1));
            vst1q_u8(out, vqtbl1q_u8(table, buckets));
            put<kStripe + 1>(x, out + stripe_bytes, stripe_bytes);
        }
    }

    PLAIT_INLINE void decode(const uint8_t* row, const uint8_t* end, const Layout& layout, uint8_t* out) const {
        each_sixteen(row, layout.bytes, end,
                     [&](uint8x16_t x, int64_t at) { put<0>(x, out + at, layout.stripe); });
    }
};

// A table of 256 in four look-ups of 64.
template <>
struct Decoder<8> {
    using Dot = DotBytes;
    uint8x16x4_t tables[4];

    void prepare(const uint8_t* levels, const Layout&) {
        for (int part = 0; part < 4; ++part) {
            uint8_t bytes[64];
            for (int i = 0; i < 64; ++i) bytes[i] = levels[reversed<8>(64 * part + i)];
            tables[part] = {{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)}};
        }
    }

    PLAIT_INLINE uint8x16_t look_up(uint8x16_t x) const {
        uint8x16_t found = vqtbl4q_u8(tables[0], x);
        for (int part = 1; part < 4; ++part) {
            x = vsubq_u8(x, vdupq_n_u8(64));
            found = vqtbx4q_u8(found, tables[part], x);
        }
        return found;
    }

    PLAIT_INLINE void decode(const uint8_t* row, const uint8_t* end, const Layout& layout, uint8_t* out) const {
        each_sixteen(row, layout.bytes, end, [&](uint8x16_t x, int64_t at) { vst1q_u8(out + at, look_up(x)); });
    }
};

}  // namespace
}  // namespace plait::PLAIT_ISA
