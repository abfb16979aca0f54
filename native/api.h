// What the Python bindings and the kernels agree on: plain arguments, a status, and one table of
// functions for each instruction set. src/plait/kernels/reference.py says what every kernel computes.
//
// This header is compiled with different instruction sets into one library, so it must hold no
// function bodies: the linker keeps one copy of an inline function, and that copy could be the one
// compiled for a newer processor than the machine has.
#pragma once

#include <cstdint>

namespace plait {

enum class Fault : int32_t {
    none,
    memory,    // the kernel could not allocate its scratch space
    doc,       // docs[where] is not a document of the segment
    offset,    // offsets[where] is negative, descending or beyond the tokens
    code,      // codes[where] is not a centroid
    probe,     // probes[where] is not a centroid
    list,      // ivf_offsets[where] is negative, descending or beyond the documents listed
    pid,       // ivf_pids[where] is not a document
    unsorted,  // ivf_pids[where] is smaller than the entry before it
    postings,  // the list of the query's term `where` is beyond the postings, or its blocks beyond their bounds
    unsorted_postings,  // the block at posting `where` names a document that does not exist, or is not ascending
    dictionary,         // term_ends[where] is descending or beyond the terms
    gain,      // with token `where` a document could get more than 65,535
};

struct Status {
    Fault fault;
    int64_t where;
};

// A segment's documents, and those of them to score.
struct Docs {
    const int64_t* offsets;
    int64_t ndocs;
    int64_t ntokens;
    const uint32_t* docs;
    int64_t count;
};

struct Residuals {
    const uint32_t* codes;
    const uint8_t* rows;
    int64_t ntokens;
    int64_t dim;
    int nbits;
};

struct MaxsimArgs {
    const float* query;
    int64_t nq;
    const float* vectors;
    int64_t dim;
    Docs docs;
    float* scores;
};

struct MaxsimCodesArgs {
    const int8_t* query;
    int64_t nq;
    const float* lane_weights;
    const int16_t* table;
    int64_t ncentroids;
    int64_t lanes;
    int shift;
    const uint8_t* levels;
    Residuals residuals;
    const uint16_t* scales;  // f16
    Docs docs;
    float* scores;
};

struct ApproximateArgs {
    const int16_t* table;
    int64_t ncentroids;
    int64_t lanes;
    const float* lane_weights;
    const uint32_t* codes;
    Docs docs;
    float* scores;
};

struct CentroidScoresArgs {
    const int8_t* query;
    int64_t nq;
    const uint8_t* centroids;
    const float* row_scale;
    int64_t ncentroids;
    int64_t dim;
    int64_t lanes;
    int16_t* table;
};

struct AssignArgs {
    const float* vectors;
    int64_t count;
    const uint8_t* centroids;
    const float* scales;
    int64_t ncentroids;
    int64_t dim;
    uint32_t* codes;
};

struct AssignGroupedArgs {
    const float* vectors;
    int64_t count;
    const uint8_t* heads;
    const float* head_scale;
    int64_t ngroups;
    const uint8_t* centroids;
    const float* scales;
    const int64_t* offsets;  // the groups' centroids: ascending from 0
    int64_t nprobe;
    float margin;  // of the heads' scores, for a quantised vector of length 1
    int64_t dim;
    uint32_t* codes;
};

struct SumArgs {
    const float* vectors;
    const uint32_t* codes;
    int64_t count;
    int64_t ncentroids;
    int64_t dim;
    double* sums;     // zeros at first
    int64_t* counts;  // zeros at first
};

struct CompressArgs {
    const float* vectors;
    const float* centroids;
    int64_t ncentroids;
    const uint32_t* codes;
    const float* cutoffs;
    int64_t ntokens;
    int64_t dim;
    int nbits;
    uint8_t* rows;
};

struct DecompressArgs {
    Residuals residuals;
    const float* centroids;
    int64_t ncentroids;
    const float* weights;
    float* vectors;   // may be null
    uint16_t* norms;  // f16 inverse norms; may be null
};

struct TopCentroidsArgs {
    const int16_t* table;
    int64_t ncentroids;
    int64_t lanes;
    int64_t nq;
    int64_t nprobe;
    uint32_t* best;
};

struct GatherArgs {
    const int16_t* table;
    int64_t ncentroids;
    int64_t lanes;
    const uint32_t* probes;
    int64_t nq;
    int64_t nprobe;
    const float* lane_weights;
    const int64_t* list_offsets;
    const uint32_t* pids;
    int64_t npids;
    const uint8_t* allowed;  // may be null
    int64_t ndocs;
    // Room for min(ndocs, npids) answers.
    uint32_t* docs;
    float* scores;
    int64_t found;
};

struct TopKArgs {
    const float* scores;
    int64_t count;
    int64_t k;
    int64_t* positions;
};

// The scaled codec: src/plait/kernels/reference_scaled.py.
struct ScaledCodec {
    const uint8_t* centroids;
    const float* centroid_scales;
    int64_t ncentroids;
    const float* sigma;
    int64_t width;
    int64_t bits[3];  // dimensions of 4, 2 and 1 bits
    int64_t row_bytes;
    const float* gain_values;  // [256, 2]; null for encode_scaled
};

struct ScaledTokens {
    const uint16_t* codes;
    const uint8_t* rows;
    const uint8_t* gains;
    int64_t count;
};

struct EncodeScaledArgs {
    const float* vectors;
    const uint16_t* codes;
    int64_t count;
    ScaledCodec codec;
    uint8_t* rows;
    float* gains;  // [count, 2]
};

struct DecodeScaledArgs {
    ScaledTokens tokens;
    ScaledCodec codec;
    float* vectors;
};

// One query or several whose tokens lie one after the other; the documents are decoded once for all.
struct MaxsimScaledArgs {
    const float* query;
    int64_t nq;                 // tokens of all queries
    const int64_t* query_ends;  // where each query's tokens end: ascending, the last is nq
    int64_t nqueries;
    ScaledTokens tokens;
    ScaledCodec codec;
    Docs docs;
    float* scores;  // [nqueries, docs.count]
};

struct RotateArgs {
    const float* vectors;
    int64_t count;
    int64_t dim;
    const float* rotation;
    int64_t width;
    float* rotated;
};

struct MergeTokensArgs {
    const float* query;
    int64_t nq;
    int64_t width;
    float similarity;
    float* merged;  // room for nq rows
    int64_t found;
};

struct TopRowsArgs {
    const float* query;
    int64_t nq;
    int64_t width;
    const uint32_t* probes;
    int64_t nprobes;
    const int64_t* group_offsets;
    int64_t ngroups;
    const uint8_t* rows;
    const float* row_scales;
    int64_t nrows;
    int64_t count;
    uint32_t* best;
    float* scores;
};

struct GatherTopArgs {
    const uint32_t* lists;
    const uint16_t* gains;
    int64_t nq;  // below 65,536
    int64_t nprobe;
    const int64_t* list_offsets;
    int64_t nlists;
    const uint8_t* list_docs;
    int64_t nlisted;
    int nbytes;              // of a listed document: 2, 3 or 4
    const uint8_t* allowed;  // may be null
    int64_t ndocs;
    int64_t count;
    // Room for min(count, ndocs, nlisted) answers.
    uint32_t* docs;
    float* best;
    int64_t found;
};

struct InvertArgs {
    const void* codes;
    int code_bytes;  // 2 or 4
    const int64_t* offsets;
    int64_t ndocs;
    int64_t ntokens;
    int64_t nlists;
    int nbytes;        // of a listed document: 2, 3 or 4
    int64_t* lengths;  // zeros at first
    uint8_t* docs;     // null to count only
};

// Single vectors of 4 bits per dimension: src/plait/kernels/reference_pooled.py.
struct TopPooledArgs {
    const int8_t* query;  // [2, 2 * bytes]: the upper parts, then the lower ones
    double query_scale;
    const uint8_t* rows;
    const float* scales;
    int64_t nrows;
    int64_t bytes;
    const uint8_t* allowed;  // may be null
    int64_t count;
    // Room for count answers.
    uint32_t* best;
    float* scores;
    int64_t found;
};

// BM25: src/plait/kernels/reference_bm25.py.
struct Bm25Postings {
    const uint8_t* docs;
    int doc_bytes;  // 2, 3 or 4
    const uint8_t* tfs;
    int64_t count;
};

struct Bm25Args {
    Bm25Postings postings;
    int tf_bytes;  // 1, 2 or 4
    const uint32_t* doclens;
    int64_t ndocs;
    const uint8_t* block_tfs;  // of tf_bytes each
    const uint16_t* block_doclens;
    int64_t nslots;
    const int64_t* begins;
    const int64_t* ends;
    const int64_t* slots;
    const double* weights;
    int64_t nq;
    double k1;
    double b;
    double average;
    const uint8_t* mask;  // may be null
    int64_t k;
    float floor;
    // Room for k answers.
    uint32_t* best;
    float* scores;
    int64_t found;
};

struct CountAliveArgs {
    Bm25Postings postings;
    int64_t begin;
    int64_t end;
    const uint8_t* alive;
    int64_t ndocs;
    int64_t found;
};

struct FindTermsArgs {
    const uint8_t* terms;
    int64_t nbytes;
    const int64_t* ends;
    int64_t nterms;
    const uint8_t* query;
    const int64_t* query_ends;
    int64_t nq;
    int64_t* places;
};

struct Kernels {
    const char* name;
    Status (*maxsim)(const MaxsimArgs&);
    Status (*maxsim_codes)(const MaxsimCodesArgs&);
    Status (*approximate)(const ApproximateArgs&);
    Status (*centroid_scores)(const CentroidScoresArgs&);
    Status (*assign)(const AssignArgs&);
    Status (*sum_by_centroid)(const SumArgs&);
    Status (*compress)(const CompressArgs&);
    Status (*decompress)(const DecompressArgs&);
    Status (*top_centroids)(const TopCentroidsArgs&);
    Status (*gather)(GatherArgs&);
    Status (*top_k)(const TopKArgs&);
    Status (*assign_grouped)(const AssignGroupedArgs&);
    Status (*encode_scaled)(const EncodeScaledArgs&);
    Status (*decode_scaled)(const DecodeScaledArgs&);
    Status (*maxsim_scaled)(const MaxsimScaledArgs&);
    Status (*maxsim_decoded)(const MaxsimScaledArgs&);
    Status (*rotate)(const RotateArgs&);
    Status (*merge_tokens)(MergeTokensArgs&);
    Status (*top_rows)(const TopRowsArgs&);
    Status (*gather_top)(GatherTopArgs&);
    Status (*invert)(InvertArgs&);
    Status (*top_pooled)(TopPooledArgs&);
    Status (*top_bm25)(Bm25Args&);
    Status (*count_alive)(CountAliveArgs&);
    Status (*find_terms)(FindTermsArgs&);
};

// The kernels compiled for each instruction set that this machine has, slowest first.
const Kernels* const* available_kernels(int& count);

namespace scalar { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avxvnni { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#elif defined(__aarch64__)
namespace neon { extern const Kernels kernels; }
#endif

}  // namespace plait
