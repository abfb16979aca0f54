// Vectors times a matrix: the same bits on every machine, which a BLAS does not promise.
#pragma once

#include "tile.h"

namespace plait::PLAIT_ISA {
namespace {

struct RotateJob {
    float* out;  // one row of `lanes` for each row of the tile
    int64_t lanes;

    PLAIT_INLINE F32 start(int, int64_t) const { return splat(0.0f); }
    PLAIT_INLINE F32 load(int64_t) const { return splat(0.0f); }
    PLAIT_INLINE void save(int64_t, F32) const {}
    PLAIT_INLINE void finish(int row, int64_t lane, F32 dot, F32&) const { store(out + row * lanes + lane, dot); }
};

// Lane = output dimension: the columns of the rotation are packed as query tokens are elsewhere.
Status rotate(const RotateArgs& args) {
    const int64_t lanes = round_up(args.width, 16);
    PackedQuery<DotFloat> columns(lanes, args.dim);
    Scratch<float> column(args.dim), out(DotFloat::kTile * lanes);
    if (!columns.data || !column || !out) return {Fault::memory, 0};
    for (int64_t lane = 0; lane < args.width; ++lane) {
        for (int64_t d = 0; d < args.dim; ++d) column[d] = args.rotation[d * args.width + lane];
        columns.put(lane, column.data());
    }
    const RotateJob job{out.data(), lanes};
    for_tiles<DotFloat::kTile>(args.count, [&](auto tile, int64_t first) {
        multiply_tile<DotFloat, tile.value>(job, args.vectors + first * args.dim, args.dim, columns);
        for (int row = 0; row < tile.value; ++row)
            __builtin_memcpy(args.rotated + (first + row) * args.width, out.data() + row * lanes,
                             static_cast<size_t>(args.width) * sizeof(float));
    });
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
