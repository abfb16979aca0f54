// Vectors to residual codes and back (ColBERTv2, section 3.3).
#pragma once

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

// The number of cutoffs below each residual; all of them for NaN, as in NumPy's searchsorted.
template <int kBits>
class Buckets {
public:
    explicit Buckets(const float* cutoffs) {
        for (int i = 0; i < 256; ++i) cutoffs_[i] = i < kCount ? cutoffs[i] : __builtin_inff();
        for (int i = 0; i < 16; ++i) borders_[i] = cutoffs_[16 * i + 15];
    }

    PLAIT_INLINE void find(const float* residuals, int64_t dim, int32_t* buckets) const {
        for (int64_t d = 0; d < dim; ++d) {
            int32_t bucket = 0;
            if constexpr (kBits < 8) {
                for (int i = 0; i < kCount; ++i) bucket += !(residuals[d] <= cutoffs_[i]);
            } else {
                // Which sixteenth, then where in it: two vector comparisons and no jump.
                const int sixteenth = smaller_of(15, __builtin_popcount(below16(borders_, residuals[d])));
                const int within = __builtin_popcount(below16(cutoffs_ + 16 * sixteenth, residuals[d]));
                bucket = smaller_of(255, 16 * sixteenth + within);
            }
            buckets[d] = bucket;
        }
    }

private:
    static constexpr int kCount = (1 << kBits) - 1;
    float cutoffs_[256];
    float borders_[16];
};

template <int kBits>
Status compress_to(const CompressArgs& args) {
    constexpr int kStripes = 8 / kBits;
    const int64_t bytes = (args.dim * kBits + 7) / 8;
    Scratch<float> residual(args.dim);
    Scratch<int32_t> buckets(bytes * kStripes);  // the padding stays zero
    if (!residual || !buckets) return {Fault::memory, 0};
    const Buckets<kBits> quantiles(args.cutoffs);
    uint8_t packed[1 << kBits];
    for (int i = 0; i < 1 << kBits; ++i) packed[i] = static_cast<uint8_t>(reversed<kBits>(i));
    for (int64_t t = 0; t < args.ntokens; ++t) {
        const float* vector = args.vectors + t * args.dim;
        const float* centroid = args.centroids + args.codes[t] * args.dim;
        for (int64_t d = 0; d < args.dim; ++d) residual[d] = vector[d] - centroid[d];
        quantiles.find(residual.data(), args.dim, buckets.data());
        uint8_t* row = args.rows + t * bytes;
        const int32_t* bucket = buckets.data();
        for (int64_t i = 0; i < bytes; ++i, bucket += kStripes) {
            int byte = 0;
            for (int j = 0; j < kStripes; ++j) byte |= packed[bucket[j]] << (8 - kBits * (j + 1));
            row[i] = static_cast<uint8_t>(byte);
        }
    }
    return kDone;
}

Status compress(const CompressArgs& args) {
    const Range all{0, args.ntokens};
    if (const Status status = check_codes(args.codes, all, args.ncentroids); status.fault != Fault::none) return status;
    switch (args.nbits) {
        case 1: return compress_to<1>(args);
        case 2: return compress_to<2>(args);
        case 4: return compress_to<4>(args);
        default: return compress_to<8>(args);
    }
}

template <int kBits>
Status decompress_from(const DecompressArgs& args) {
    constexpr int kStripes = 8 / kBits;
    const Residuals& residuals = args.residuals;
    const int64_t dim = residuals.dim, bytes = (dim * kBits + 7) / 8;
    const int64_t padded = round_up(bytes * kStripes, 16);
    Scratch<float> table(256 * kStripes), vector(padded);
    if (!table || !vector) return {Fault::memory, 0};
    for (int byte = 0; byte < 256; ++byte)
        for (int j = 0; j < kStripes; ++j)
            table[byte * kStripes + j] = args.weights[reversed<kBits>(byte >> (8 - kBits * (j + 1)))];

    for (int64_t t = 0; t < residuals.ntokens; ++t) {
        const uint8_t* row = residuals.rows + t * bytes;
        const float* centroid = args.centroids + residuals.codes[t] * dim;
        float* out = vector.data();
        for (int64_t i = 0; i < bytes; ++i)
            __builtin_memcpy(out + i * kStripes, table.data() + row[i] * kStripes, kStripes * sizeof(float));
        for (int64_t d = 0; d < dim; ++d) out[d] += centroid[d];
        for (int64_t d = dim; d < padded; ++d) out[d] = 0.0f;
        float partial[16] = {};
        for (int64_t d = 0; d < padded; d += 16)
            for (int i = 0; i < 16; ++i) partial[i] += out[d + i] * out[d + i];
        const float norm = __builtin_sqrtf(halve(partial));
        const float inverse = norm > 0 ? 1.0f / norm : 0.0f;
        if (args.norms) args.norms[t] = float_to_half(inverse);
        if (args.vectors)
            for (int64_t d = 0; d < dim; ++d) args.vectors[t * dim + d] = out[d] * inverse;
    }
    return kDone;
}

// Reconstructed vectors, or only their inverse norms.
Status decompress(const DecompressArgs& args) {
    const Range all{0, args.residuals.ntokens};
    if (const Status status = check_codes(args.residuals.codes, all, args.ncentroids); status.fault != Fault::none)
        return status;
    switch (args.residuals.nbits) {
        case 1: return decompress_from<1>(args);
        case 2: return decompress_from<2>(args);
        case 4: return decompress_from<4>(args);
        default: return decompress_from<8>(args);
    }
}

}  // namespace
}  // namespace plait::PLAIT_ISA
