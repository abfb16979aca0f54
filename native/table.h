// The table of kernels of one instruction set. Included once, by that set's file in isa/.
#pragma once

#include "bm25.h"
#include "centroids.h"
#include "gather.h"
#include "ivf.h"
#include "maxsim.h"
#include "pooled.h"
#include "residual.h"
#include "rotate.h"
#include "scaled_maxsim.h"
#include "tree.h"

#define PLAIT_NAME_(x) #x
#define PLAIT_NAME(x) PLAIT_NAME_(x)

namespace plait::PLAIT_ISA {

extern const Kernels kernels = {
    PLAIT_NAME(PLAIT_ISA), maxsim, maxsim_codes, approximate, centroid_scores, assign, sum_by_centroid,
    compress, decompress, top_centroids, gather, top_k, assign_grouped,
    encode_scaled, decode_scaled, maxsim_scaled, maxsim_decoded, rotate,
    merge_tokens, top_rows, gather_top, invert,
    top_pooled, top_bm25, count_alive, find_terms,
};

}  // namespace plait::PLAIT_ISA
