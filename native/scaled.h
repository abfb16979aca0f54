// The scaled codec: vectors to codes and back (src/plait/kernels/reference_scaled.py).
#pragma once

#include "centroids.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr double kLevelStep = 2.7326 / 63;

PLAIT_INLINE Status check_short_codes(const uint16_t* codes, Range range, int64_t ncentroids) {
    const int64_t limit = smaller_of<int64_t>(ncentroids, 65536);
    const uint16_t last = static_cast<uint16_t>(limit - 1);
    uint16_t wrong = limit == 0 && range.size();  // without a branch, so that the compiler makes vectors of it
    for (int64_t i = range.begin; i < range.end; ++i) wrong |= codes[i] > last;
    if (!wrong) return kDone;
    for (int64_t i = range.begin;; ++i)
        if (codes[i] >= limit) return {Fault::code, i};
}

PLAIT_INLINE void centroid_of(const ScaledCodec& codec, int64_t code, float* out) {
    const uint8_t* row = codec.centroids + code * codec.width;
    const float scale = codec.centroid_scales[code];
    for (int64_t d = 0; d < codec.width; ++d) out[d] = static_cast<float>(row[d] - kCentroidZero) * scale;
}

// `dots` of two rows that are padded with zeros to whole blocks of 16.
PLAIT_INLINE float dot_of(const float* a, const float* b, int64_t padded) {
    constexpr int kVectors = 16 / kWidth;
    F32 partial[kVectors];
    for (int i = 0; i < kVectors; ++i) partial[i] = multiply(load(a + i * kWidth), load(b + i * kWidth));
    for (int64_t d = 16; d < padded; d += 16)
        for (int i = 0; i < kVectors; ++i)
            partial[i] = partial[i] + multiply(load(a + d + i * kWidth), load(b + d + i * kWidth));
    float sums[16];
    for (int i = 0; i < kVectors; ++i) store(sums + i * kWidth, partial[i]);
    return halve(sums);
}

// Finds the nearest levels and packs their numbers. `count` dimensions fill whole bytes.
template <int kBits>
PLAIT_INLINE uint8_t* pack_levels(const float* values, int64_t count, int32_t* buckets, uint8_t* out) {
    constexpr int kStripes = 8 / kBits, kBorders = (1 << kBits) - 1;
    float borders[kBorders];
    for (int i = 0; i < kBorders; ++i)
        borders[i] = static_cast<float>(levels_of<kBits>()[i] + levels_of<kBits>()[i + 1]) / 2.0f;
    for (int64_t d = 0; d < count; ++d) {
        int32_t bucket = 0;
        for (int i = 0; i < kBorders; ++i) bucket += !(values[d] <= borders[i]);  // NaN: the last level
        buckets[d] = bucket;
    }
    for (int64_t byte = 0; byte < count / kStripes; ++byte, buckets += kStripes) {
        int packed = 0;
        for (int j = 0; j < kStripes; ++j)
            for (int bit = 0; bit < kBits; ++bit)
                packed |= (buckets[j] >> bit & 1) << (7 - j * kBits - bit);
        *out++ = static_cast<uint8_t>(packed);
    }
    return out;
}

// The gains of the sum a * c + b * w that is nearest to v, from the dot products of the three.
PLAIT_INLINE void solve_gains(double cc, double ww, double cw, double vc, double vw, float* gains) {
    const double determinant = cc * ww - cw * cw;
    const bool solvable = determinant > 1e-12 * cc * ww;
    // Otherwise there is one direction only, and v may point against it.
    const double a = solvable ? (vc * ww - vw * cw) / determinant : cc > 0 ? (vc < 0 ? -1.0 : 1.0) : 0.0;
    const double b = solvable ? (vw * cc - vc * cw) / determinant : cc > 0 ? 0.0 : (vw < 0 ? -1.0 : 1.0);
    const double square = (a * a) * cc + (2.0 * (a * b)) * cw + (b * b) * ww;
    const double length = square > 0 ? __builtin_sqrt(square) : 0.0;
    const double inverse = length > 0 ? 1.0 / length : 0.0;
    gains[0] = static_cast<float>(a * inverse);
    gains[1] = static_cast<float>(b * inverse);
}

class ScaledEncoder {
public:
    explicit ScaledEncoder(const ScaledCodec& codec)
        : codec_(codec), count_(codec.bits[0] + codec.bits[1] + codec.bits[2]), padded_(round_up(codec.width, 16)),
          levels_(codec.bits), share_(static_cast<float>(1.0 / static_cast<double>(count_ ? count_ : 1))),
          v_(padded_), c_(padded_), y_(padded_), w_(FloatLevels::room(codec.width)), inverse_(padded_),
          buckets_(padded_) {
        if (!*this) return;
        for (int64_t d = 0; d < count_; ++d) inverse_[d] = codec.sigma[d] > 0 ? 1.0f / codec.sigma[d] : 0.0f;
    }

    explicit operator bool() const { return levels_ && v_ && c_ && y_ && w_ && inverse_ && buckets_; }

    void encode(const float* vector, int64_t code, uint8_t* row, float* gains) {
        float *v = v_.data(), *c = c_.data(), *y = y_.data(), *w = w_.data();
        const int64_t width = codec_.width;
        __builtin_memcpy(v, vector, static_cast<size_t>(width) * sizeof(float));
        centroid_of(codec_, code, c);
        const float along = dot_of(v, c, padded_);
        for (int64_t d = 0; d < count_; ++d) y[d] = (v[d] - along * c[d]) * inverse_[d];
        const float size = __builtin_sqrtf(dot_of(y, y, padded_) * share_);
        const float up = size > 0 ? static_cast<float>(1.0 / kLevelStep) / size : 0.0f;
        for (int64_t d = 0; d < count_; ++d) w[d] = y[d] * up;
        const int64_t* bits = codec_.bits;
        uint8_t* out = pack_levels<4>(w, bits[0], buckets_.data(), row);
        out = pack_levels<2>(w + bits[0], bits[1], buckets_.data(), out);
        pack_levels<1>(w + bits[0] + bits[1], bits[2], buckets_.data(), out);
        levels_.decode(row, w);
        for (int64_t d = 0; d < count_; ++d) w[d] *= codec_.sigma[d];
        solve_gains(dot_of(c, c, padded_), dot_of(w, w, padded_), dot_of(c, w, padded_), along,
                    dot_of(v, w, padded_), gains);
    }

private:
    const ScaledCodec& codec_;
    int64_t count_, padded_;
    FloatLevels levels_;
    float share_;
    Scratch<float> v_, c_, y_, w_, inverse_;  // what lies beyond the width, or has no bits, stays zero
    Scratch<int32_t> buckets_;
};

Status encode_scaled(const EncodeScaledArgs& args) {
    const ScaledCodec& codec = args.codec;
    const Range all{0, args.count};
    if (const Status status = check_short_codes(args.codes, all, codec.ncentroids); status.fault != Fault::none)
        return status;
    ScaledEncoder encoder(codec);
    if (!encoder) return {Fault::memory, 0};
    for (int64_t t = 0; t < args.count; ++t) {
        if (t + 4 < args.count) prefetch_range(codec.centroids + args.codes[t + 4] * codec.width, codec.width);
        encoder.encode(args.vectors + t * codec.width, args.codes[t], args.rows + t * codec.row_bytes,
                       args.gains + 2 * t);
    }
    return kDone;
}

// Reconstructs a few tokens at a time: first the levels of all, because vectors that are read
// right after they were written in small pieces are waited for.
class ScaledDecoder {
public:
    static constexpr int kRows = 12;

    ScaledDecoder(const ScaledTokens& tokens, const ScaledCodec& codec)
        : tokens_(tokens), codec_(codec), levels_(codec.bits), stride_(FloatLevels::room(codec.width)),
          level_(kRows * stride_) {}

    explicit operator bool() const { return levels_ && level_; }

    PLAIT_INLINE void decode(int64_t first, int count, float* out, int64_t stride) const {
        for (int i = 0; i < count; ++i)
            levels_.decode(tokens_.rows + (first + i) * codec_.row_bytes, level_.data() + i * stride_);
        for (int i = 0; i < count; ++i) combine(first + i, level_.data() + i * stride_, out + i * stride);
    }

private:
    PLAIT_INLINE void combine(int64_t token, const float* __restrict level, float* __restrict out) const {
        const int64_t code = tokens_.codes[token];
        const uint8_t* __restrict centroid = codec_.centroids + code * codec_.width;
        const float* __restrict sigma = codec_.sigma;
        const float scale = codec_.centroid_scales[code];
        const float* gain = codec_.gain_values + 2 * tokens_.gains[token];
        const float a = gain[0], b = gain[1];
        for (int64_t d = 0; d < codec_.width; ++d)
            out[d] = a * (static_cast<float>(centroid[d] - kCentroidZero) * scale) + b * (level[d] * sigma[d]);
    }

    const ScaledTokens& tokens_;
    const ScaledCodec& codec_;
    FloatLevels levels_;
    int64_t stride_;
    Scratch<float> level_;  // zero where there are no bits
};

Status decode_scaled(const DecodeScaledArgs& args) {
    const ScaledTokens& tokens = args.tokens;
    const ScaledCodec& codec = args.codec;
    const Range all{0, tokens.count};
    if (const Status status = check_short_codes(tokens.codes, all, codec.ncentroids); status.fault != Fault::none)
        return status;
    const ScaledDecoder decoder(tokens, codec);
    if (!decoder) return {Fault::memory, 0};
    constexpr int64_t kRows = ScaledDecoder::kRows;
    for (int64_t t = 0; t < tokens.count; t += kRows) {
        for (int64_t i = t + kRows; i < smaller_of(tokens.count, t + 2 * kRows); ++i)
            prefetch_range(codec.centroids + tokens.codes[i] * codec.width, codec.width);
        decoder.decode(t, static_cast<int>(smaller_of(kRows, tokens.count - t)), args.vectors + t * codec.width,
                       codec.width);
    }
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
