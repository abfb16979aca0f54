// What every instruction set shares: small functions, scratch memory, checks of documents.
//
// Everything lives in the namespace of the instruction set it is compiled for, in an anonymous
// namespace, and uses no function template of the standard library: see api.h for the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "api.h"

#define PLAIT_INLINE inline __attribute__((always_inline))

namespace plait::PLAIT_ISA {
namespace {

constexpr Status kDone{Fault::none, 0};

template <class T>
PLAIT_INLINE T unaligned(const void* p) {
    T value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
}

template <class T>
PLAIT_INLINE T smaller_of(T a, T b) {
    return a < b ? a : b;
}

PLAIT_INLINE int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// The low bits of a value, last bit first: buckets are packed with their least significant bit first.
template <int kBits>
constexpr int reversed(int value) {
    int out = 0;
    for (int bit = 0; bit < kBits; ++bit) out |= (value >> bit & 1) << (kBits - 1 - bit);
    return out;
}

PLAIT_INLINE float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t magnitude = half & 0x7fff;
    if (magnitude < 0x0400) {  // zero and subnormal numbers, exact in f32
        const float value = static_cast<float>(magnitude) * 0x1p-24f;
        return unaligned<float>(&value) * (sign ? -1.0f : 1.0f);
    }
    const uint32_t bits = sign | (magnitude >= 0x7c00 ? 0x7f800000 | (magnitude & 0x3ff) << 13
                                                      : (magnitude << 13) + 0x38000000);
    return unaligned<float>(&bits);
}

// Rounds to the nearest even f16, as IEEE 754 and NumPy do.
PLAIT_INLINE uint16_t float_to_half(float value) {
    const uint32_t bits = unaligned<uint32_t>(&value);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
    if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);
    if (magnitude < 0x38800000) {
        // Adding 0.5 aligns the last bit of a subnormal f16 with the last bit of the f32 sum.
        const float sum = unaligned<float>(&magnitude) + 0.5f;
        return static_cast<uint16_t>(sign | (unaligned<uint32_t>(&sum) - 0x3f000000));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return static_cast<uint16_t>(sign | (magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

// Scratch memory, aligned to a cache line and padded so that a vector may be stored at its end.
template <class T>
class Scratch {
public:
    // Zeros cost time where the memory is large and is all written anyway.
    explicit Scratch(int64_t count, bool zeros = true) {
        const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 64 + 63) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
        if (data_ && zeros) __builtin_memset(static_cast<void*>(data_), 0, bytes);
    }
    ~Scratch() { std::free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    explicit operator bool() const { return data_ != nullptr; }
    T* data() const { return data_; }
    T& operator[](int64_t i) const { return data_[i]; }
    void swap(Scratch& other) {
        T* mine = data_;
        data_ = other.data_;
        other.data_ = mine;
    }

private:
    T* data_;
};

// Two vectors of 16 lanes where the machine has none of 32.
template <class Half>
struct Pair {
    static constexpr int kLanes = 32;
    Half low, high;
    static PLAIT_INLINE Pair load(const int16_t* p) { return {Half::load(p), Half::load(p + 16)}; }
    PLAIT_INLINE void store(int16_t* p) const {
        low.store(p);
        high.store(p + 16);
    }
    PLAIT_INLINE Pair larger(Pair b) const { return {low.larger(b.low), high.larger(b.high)}; }
    PLAIT_INLINE uint32_t above(Pair b) const { return low.above(b.low) | high.above(b.high) << 16; }
};

// How one packed row is laid out when it is decoded. Byte i holds 8 / nbits dimensions; the first
// of each byte go to the first stripe, the second of each byte to the second stripe, and so on.
struct Layout {
    int64_t bytes;    // of a packed row
    int64_t stripes;  // buckets in a byte
    int64_t stripe;   // positions of a stripe: `bytes` rounded up to whole units of the dot product

    Layout(int64_t dim, int nbits, int pack)
        : bytes((dim * nbits + 7) / 8), stripes(8 / nbits), stripe(round_up(bytes, pack)) {}

    int64_t positions() const { return stripes * stripe; }

    // The dimension at each position, or -1 where a row has only padding.
    void map(int64_t dim, int64_t* dimension) const {
        for (int64_t j = 0; j < stripes; ++j)
            for (int64_t byte = 0; byte < stripe; ++byte) {
                const int64_t d = byte * stripes + j;
                *dimension++ = byte < bytes && d < dim ? d : -1;
            }
    }
};

struct Range {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
};

PLAIT_INLINE Status find_range(const Docs& docs, int64_t at, Range& range) {
    const uint32_t doc = docs.docs[at];
    if (doc >= docs.ndocs) return {Fault::doc, at};
    range = {docs.offsets[doc], docs.offsets[doc + 1]};
    if (range.begin < 0 || range.begin > range.end || range.end > docs.ntokens)
        return {Fault::offset, range.begin < 0 || range.begin > docs.ntokens ? doc : doc + int64_t{1}};
    return kDone;
}

PLAIT_INLINE Status check_codes(const uint32_t* codes, Range range, int64_t ncentroids) {
    const uint32_t limit = static_cast<uint32_t>(smaller_of<int64_t>(ncentroids, UINT32_MAX));
    uint32_t wrong = 0;  // without a branch, so that the compiler makes vectors of it
    for (int64_t i = range.begin; i < range.end; ++i) wrong |= codes[i] >= limit;
    if (!wrong) return kDone;
    for (int64_t i = range.begin;; ++i)
        if (codes[i] >= limit) return {Fault::code, i};
}

PLAIT_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }

PLAIT_INLINE void prefetch_range(const void* p, int64_t bytes) {
    const char* line = static_cast<const char*>(p);
    for (const char* end = line + bytes; line < end; line += 64) prefetch(line);
}

constexpr float kMinusInfinity = -__builtin_inff();

// The order that `sum_lanes` in reference.py states.
PLAIT_INLINE float halve(const float* partial) {
    float sums[8];
    for (int i = 0; i < 8; ++i) sums[i] = partial[i] + partial[i + 8];
    for (int half = 4; half; half /= 2)
        for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
    return sums[0];
}

PLAIT_INLINE float sum_lanes(const float* values, const float* weights, int64_t lanes) {
    float partial[16];
    for (int i = 0; i < 16; ++i) partial[i] = values[i] * weights[i];
    for (int64_t lane = 16; lane < lanes; lane += 16)
        for (int i = 0; i < 16; ++i) partial[i] += values[lane + i] * weights[lane + i];
    return halve(partial);
}

}  // namespace
}  // namespace plait::PLAIT_ISA
