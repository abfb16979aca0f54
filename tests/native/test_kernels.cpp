// Runs every kernel of every instruction set at odd sizes, on arrays that end exactly where their last
// element does, with sound and with broken contents. Built with address and undefined-behaviour
// sanitizers, which stop it at the first access outside an array. That results are right is tested in
// Python; here they must only be the same on every instruction set.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "api.h"

namespace {

using namespace plait;

std::mt19937_64 random_bits(1);

int64_t below(int64_t limit) { return static_cast<int64_t>(random_bits() % static_cast<uint64_t>(limit)); }

// Exactly as large as its contents: std::vector may keep more.
template <class T>
struct Exact {
    T* data;
    int64_t size;

    explicit Exact(int64_t size) : data(static_cast<T*>(std::malloc(static_cast<size_t>(size) * sizeof(T)))), size(size) {
        if (size) std::memset(static_cast<void*>(data), 0, static_cast<size_t>(size) * sizeof(T));
    }
    Exact(Exact&& other) noexcept : data(other.data), size(other.size) { other.data = nullptr; }
    ~Exact() { std::free(data); }
    T& operator[](int64_t i) { return data[i]; }

    Exact& randomise() {
        for (int64_t i = 0; i < size; ++i) {
            if constexpr (std::is_floating_point_v<T>)
                data[i] = static_cast<T>(below(2001) - 1000) / 1000;
            else
                data[i] = static_cast<T>(random_bits());
        }
        return *this;
    }
    Exact& randomise_below(int64_t limit) {
        for (int64_t i = 0; i < size; ++i) data[i] = static_cast<T>(below(limit));
        return *this;
    }
    bool same(const Exact& other) const {
        return size == other.size && (!size || !std::memcmp(data, other.data, static_cast<size_t>(size) * sizeof(T)));
    }
    // Overwrites some entries with anything at all.
    void corrupt() {
        for (int64_t i = below(3) + 1; size && i > 0; --i) data[below(size)] = static_cast<T>(random_bits());
    }
};

const Kernels* const* isas;
int isa_count;

// Runs `work` on every instruction set; `out` must come out the same, and so must the status.
template <class T, class Work>
void on_every_isa(const char* what, Exact<T>& out, const Work& work) {
    const Status expected = work(*isas[0]);
    for (int i = 1; i < isa_count; ++i) {
        Exact<T> first(out.size);
        if (out.size) std::memcpy(static_cast<void*>(first.data), out.data, static_cast<size_t>(out.size) * sizeof(T));
        const Status status = work(*isas[i]);
        if (status.fault != expected.fault || status.where != expected.where ||
            (status.fault == Fault::none && !first.same(out))) {
            std::fprintf(stderr, "%s differs between %s and %s\n", what, isas[0]->name, isas[i]->name);
            std::exit(1);
        }
    }
}

struct Segment {
    int64_t ntokens = 0;
    Exact<int64_t> offsets;
    Exact<uint32_t> docs;

    explicit Segment(int64_t ndocs) : offsets(ndocs + 1), docs(ndocs ? 2 * ndocs : 0) {
        static constexpr int64_t lengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 25, 40};
        for (int64_t i = 0; i < ndocs; ++i) offsets[i + 1] = ntokens += lengths[below(14)];
        if (ndocs) docs.randomise_below(ndocs);
    }
    Docs view() const { return {offsets.data, offsets.size - 1, ntokens, docs.data, docs.size}; }
};

void score_documents(int64_t dim, int64_t nq, int nbits, bool broken) {
    Segment segment(below(7));
    const int64_t ncentroids = below(20) + 1, lanes = (nq + 15) / 16 * 16, bytes = (dim * nbits + 7) / 8;
    Exact<int8_t> query8(nq * dim);
    Exact<float> query(nq * dim), vectors(segment.ntokens * dim), lane_weights(lanes), scores(segment.docs.size);
    Exact<float> centroids(ncentroids * dim), weights(1 << nbits), cutoffs((1 << nbits) - 1);
    Exact<int16_t> table(ncentroids * lanes);
    Exact<uint8_t> levels(1 << nbits), rows(segment.ntokens * bytes), packed(segment.ntokens * bytes);
    Exact<uint32_t> codes(segment.ntokens);
    Exact<uint16_t> scales(segment.ntokens), norms(segment.ntokens);
    Exact<float> reconstructed(segment.ntokens * dim);
    query8.randomise(), query.randomise(), vectors.randomise(), lane_weights.randomise(), table.randomise();
    levels.randomise_below(nbits == 8 ? 256 : 128), rows.randomise(), scales.randomise_below(0x7c00);
    codes.randomise_below(ncentroids), centroids.randomise(), weights.randomise(), cutoffs.randomise();
    if (broken) {
        switch (below(4)) {
            case 0: segment.docs.corrupt(); break;
            case 1: segment.offsets.corrupt(); break;
            case 2: scales.corrupt(); break;
            default: codes.corrupt();
        }
        vectors.size ? vectors[below(vectors.size)] = __builtin_nanf("") : 0;
    }
    const Residuals residuals{codes.data, rows.data, segment.ntokens, dim, nbits};
    const int shift = static_cast<int>(below(8));
    on_every_isa("maxsim_codes", scores, [&](const Kernels& k) {
        return k.maxsim_codes({query8.data, nq, lane_weights.data, table.data, ncentroids, lanes, shift,
                               levels.data, residuals, scales.data, segment.view(), scores.data});
    });
    on_every_isa("approximate", scores, [&](const Kernels& k) {
        return k.approximate({table.data, ncentroids, lanes, lane_weights.data, codes.data, segment.view(), scores.data});
    });
    on_every_isa("maxsim", scores, [&](const Kernels& k) {
        return k.maxsim({query.data, nq, vectors.data, dim, segment.view(), scores.data});
    });
    on_every_isa("decompress", reconstructed, [&](const Kernels& k) {
        return k.decompress({residuals, centroids.data, ncentroids, weights.data, reconstructed.data, nullptr});
    });
    on_every_isa("inverse_norms", norms, [&](const Kernels& k) {
        return k.decompress({residuals, centroids.data, ncentroids, weights.data, nullptr, norms.data});
    });
    on_every_isa("compress", packed, [&](const Kernels& k) {
        return k.compress({vectors.data, centroids.data, ncentroids, codes.data, cutoffs.data, segment.ntokens, dim,
                           nbits, packed.data});
    });
    Exact<double> sums(ncentroids * dim);
    Exact<int64_t> counts(ncentroids);
    const auto sum = [&](const Kernels& k) {
        std::memset(sums.data, 0, static_cast<size_t>(sums.size) * sizeof(double));
        std::memset(counts.data, 0, static_cast<size_t>(counts.size) * sizeof(int64_t));
        return k.sum_by_centroid({vectors.data, codes.data, segment.ntokens, ncentroids, dim, sums.data, counts.data});
    };
    on_every_isa("sum_by_centroid", sums, sum);
    on_every_isa("the counts of sum_by_centroid", counts, sum);
}

void score_centroids(int64_t dim, int64_t nq) {
    const int64_t ncentroids = below(40) + 1, lanes = (nq + 15) / 16 * 16, count = below(300);
    Exact<int8_t> query8(nq * dim);
    Exact<uint8_t> centroids(ncentroids * dim);
    Exact<float> scales(ncentroids), vectors(count * dim);
    Exact<int16_t> table(ncentroids * lanes);
    Exact<uint32_t> codes(count);
    query8.randomise(), centroids.randomise(), scales.randomise(), vectors.randomise();
    on_every_isa("centroid_scores", table, [&](const Kernels& k) {
        return k.centroid_scores({query8.data, nq, centroids.data, scales.data, ncentroids, dim, lanes, table.data});
    });
    on_every_isa("assign", codes, [&](const Kernels& k) {
        return k.assign({vectors.data, count, centroids.data, scales.data, ncentroids, dim, codes.data});
    });
    const int64_t ngroups = below(ncentroids) + 1, searched = below(ngroups) + 1;
    Exact<int64_t> offsets(ngroups + 1);
    for (int64_t group = 0; group < ngroups; ++group) offsets.data[group] = group;
    offsets.data[ngroups] = ncentroids;
    const float margin = static_cast<float>(below(1000)) / 100;
    on_every_isa("assign_grouped", codes, [&](const Kernels& k) {
        return k.assign_grouped({vectors.data, count, centroids.data, scales.data, ngroups, centroids.data,
                                 scales.data, offsets.data, searched, margin, dim, codes.data});
    });
    table.randomise();
    const int64_t nprobe = below(ncentroids + 1);
    Exact<uint32_t> best(nq * nprobe);
    on_every_isa("top_centroids", best, [&](const Kernels& k) {
        return k.top_centroids({table.data, ncentroids, lanes, nq, nprobe, best.data});
    });
    const int64_t k_best = below(count + 1);
    Exact<float> scores(count);
    Exact<int64_t> positions(k_best);
    scores.randomise();
    on_every_isa("top_k", positions, [&](const Kernels& k) {
        return k.top_k({scores.data, count, k_best, positions.data});
    });
}

void gather_documents(int64_t nq, bool broken) {
    const int64_t ncentroids = below(20) + 1, lanes = (nq + 15) / 16 * 16, nprobe = below(ncentroids) + 1;
    const int64_t ndocs = below(2) ? below(200) + 1 : 100000 + below(100000);
    Exact<int16_t> table(ncentroids * lanes);
    Exact<uint32_t> probes(nq * nprobe);
    Exact<float> lane_weights(lanes);
    Exact<int64_t> offsets(ncentroids + 1);
    Exact<uint8_t> allowed(ndocs);
    table.randomise(), probes.randomise_below(ncentroids), lane_weights.randomise(), allowed.randomise_below(2);
    std::vector<uint32_t> lists;
    for (int64_t c = 0; c < ncentroids; ++c) {
        const int64_t step = below(ndocs) / 10 + 1;
        for (int64_t pid = below(ndocs); pid < ndocs; pid += step) lists.push_back(static_cast<uint32_t>(pid));
        offsets[c + 1] = static_cast<int64_t>(lists.size());
    }
    Exact<uint32_t> pids(static_cast<int64_t>(lists.size()));
    for (int64_t i = 0; i < pids.size; ++i) pids[i] = lists[static_cast<size_t>(i)];
    if (broken) {
        switch (below(3)) {
            case 0: pids.corrupt(); break;
            case 1: offsets.corrupt(); break;
            default: probes.corrupt();
        }
    }
    const int64_t room = ndocs < pids.size ? ndocs : pids.size;
    Exact<uint32_t> docs(room);
    Exact<float> scores(room);
    const auto gather = [&](const Kernels& k) {
        GatherArgs args{table.data, ncentroids, lanes, probes.data, nq, nprobe, lane_weights.data, offsets.data,
                        pids.data, pids.size, broken ? nullptr : allowed.data, ndocs, docs.data, scores.data, 0};
        const Status status = k.gather(args);
        for (int64_t i = status.fault == Fault::none ? args.found : 0; i < room; ++i) docs[i] = 0, scores[i] = 0;
        return status;
    };
    on_every_isa("gather", docs, gather);
    on_every_isa("the scores of gather", scores, gather);
}

void score_scaled(int64_t width, int64_t nq, bool broken) {
    Segment segment(below(7));
    const int64_t ncentroids = below(20) + 1;
    ScaledCodec codec{};
    int64_t room = width;
    for (int part = 0; part < 3; ++part) {
        codec.bits[part] = below(3) ? below(room / (8 << part) + 1) * (8 << part) : 0;
        room -= codec.bits[part];
    }
    codec.width = width, codec.ncentroids = ncentroids;
    codec.row_bytes = codec.bits[0] / 2 + codec.bits[1] / 4 + codec.bits[2] / 8;
    Exact<uint8_t> centroids(ncentroids * width), rows(segment.ntokens * codec.row_bytes), gains(segment.ntokens);
    // One query, or two, of which the first has one token at least.
    const int64_t first = nq > 1 && below(2) ? below(nq - 1) + 1 : nq, nqueries = first < nq ? 2 : 1;
    const int64_t query_ends[] = {first, nq};
    Exact<float> scales(ncentroids), sigma(width), gain_values(512), query(nq * width);
    Exact<float> scores(nqueries * segment.docs.size);
    Exact<float> vectors(segment.ntokens * width), fitted(segment.ntokens * 2);
    Exact<uint16_t> codes(segment.ntokens);
    centroids.randomise(), rows.randomise(), gains.randomise(), scales.randomise(), sigma.randomise();
    gain_values.randomise(), query.randomise(), vectors.randomise(), codes.randomise_below(ncentroids);
    codec.centroids = centroids.data, codec.centroid_scales = scales.data, codec.sigma = sigma.data;
    codec.gain_values = gain_values.data;
    if (broken) {
        switch (below(3)) {
            case 0: segment.docs.corrupt(); break;
            case 1: segment.offsets.corrupt(); break;
            default: codes.corrupt();
        }
        vectors.size ? vectors[below(vectors.size)] = __builtin_nanf("") : 0;
    }
    const ScaledTokens tokens{codes.data, rows.data, gains.data, segment.ntokens};
    on_every_isa("maxsim_scaled", scores, [&](const Kernels& k) {
        return k.maxsim_scaled({query.data, nq, query_ends, nqueries, tokens, codec, segment.view(), scores.data});
    });
    on_every_isa("maxsim_decoded", scores, [&](const Kernels& k) {
        return k.maxsim_decoded({query.data, nq, query_ends, nqueries, tokens, codec, segment.view(), scores.data});
    });
    on_every_isa("decode_scaled", vectors, [&](const Kernels& k) {
        return k.decode_scaled({tokens, codec, vectors.data});
    });
    vectors.randomise();
    on_every_isa("encode_scaled", rows, [&](const Kernels& k) {
        return k.encode_scaled({vectors.data, codes.data, segment.ntokens, codec, rows.data, fitted.data});
    });
    on_every_isa("the gains of encode_scaled", fitted, [&](const Kernels& k) {
        return k.encode_scaled({vectors.data, codes.data, segment.ntokens, codec, rows.data, fitted.data});
    });
}

// Documents written in 2, 3 or 4 bytes.
void put_doc(uint8_t* at, int64_t doc, int nbytes) {
    for (int byte = 0; byte < nbytes; ++byte) at[byte] = static_cast<uint8_t>(doc >> (8 * byte));
}

void gather_best_documents(int64_t nq, int nbytes, bool broken) {
    const int64_t nlists = below(20) + 1, nprobe = below(nlists) + 1, count = below(4) ? below(300) : 0;
    // More documents than are summed up at a time, where two bytes do not limit them.
    const int64_t ndocs = below(2) || nbytes == 2 ? below(65536) + 1 : 131072 + below(200000);
    Exact<uint32_t> lists(nq * nprobe);
    Exact<uint16_t> gains(nq * nprobe);
    Exact<int64_t> offsets(nlists + 1);
    Exact<uint8_t> allowed(ndocs);
    lists.randomise_below(nlists), gains.randomise_below(65536 / (nq + 1)), allowed.randomise_below(2);
    for (int64_t i = below(4); i > 0; --i) lists[below(lists.size)] = 0xffffffffu;
    std::vector<int64_t> listed;
    for (int64_t list = 0; list < nlists; ++list) {
        const int64_t step = below(ndocs) / 10 + 1;
        for (int64_t doc = below(ndocs); doc < ndocs; doc += step) listed.push_back(doc);
        offsets[list + 1] = static_cast<int64_t>(listed.size());
    }
    const int64_t nlisted = static_cast<int64_t>(listed.size());
    Exact<uint8_t> docs8(nlisted * nbytes);
    for (int64_t i = 0; i < nlisted; ++i) put_doc(docs8.data + i * nbytes, listed[static_cast<size_t>(i)], nbytes);
    if (broken) {
        switch (below(4)) {
            case 0: docs8.corrupt(); break;
            case 1: offsets.corrupt(); break;
            case 2: gains.corrupt(); break;
            default: lists.corrupt();
        }
    }
    int64_t room = ndocs < nlisted ? ndocs : nlisted;
    room = count < room ? count : room;
    Exact<uint32_t> docs(room);
    Exact<float> scores(room);
    for (const uint8_t* mask : {static_cast<const uint8_t*>(nullptr), static_cast<const uint8_t*>(allowed.data)}) {
        const auto gather = [&](const Kernels& k) {
            GatherTopArgs args{lists.data, gains.data, nq,   nprobe, offsets.data, nlists,    docs8.data, nlisted,
                               nbytes,     mask,       ndocs, room,   docs.data,    scores.data, 0};
            const Status status = k.gather_top(args);
            // What lies beyond the answer is not compared.
            for (int64_t i = status.fault == Fault::none ? args.found : 0; i < room; ++i) docs[i] = 0, scores[i] = 0;
            return status;
        };
        on_every_isa("gather_top", docs, gather);
        on_every_isa("the scores of gather_top", scores, gather);
    }
}

void find_rows(int64_t width, int64_t nq, bool broken) {
    const int64_t ngroups = below(9) + 1, nprobes = below(ngroups) + 1, count = below(40);
    Exact<int64_t> offsets(ngroups + 1);
    for (int64_t group = 0; group < ngroups; ++group) offsets[group + 1] = offsets[group] + below(40);
    const int64_t nrows = offsets[ngroups];
    Exact<uint8_t> rows(nrows * width);
    Exact<float> row_scales(nrows), query(nq * width), scores(nq * count), merged(nq * width), rotated(nq * 24);
    Exact<float> rotation(width * 24);
    Exact<uint32_t> probes(nq * nprobes), best(nq * count);
    rows.randomise(), row_scales.randomise(), query.randomise(), rotation.randomise();
    for (int64_t q = 0; q < nq; ++q)
        for (int64_t i = 0, first = below(ngroups); i < nprobes; ++i)
            probes[q * nprobes + i] = below(9) ? static_cast<uint32_t>((first + i) % ngroups) : 0xffffffffu;
    for (int64_t d = 0; d < width && nq > 1; ++d) query[(nq - 1) * width + d] = query[d];
    if (broken) {
        if (below(2)) offsets.corrupt();
        else probes.corrupt();
    }
    const auto find = [&](const Kernels& k) {
        return k.top_rows({query.data, nq, width, probes.data, nprobes, offsets.data, ngroups, rows.data,
                           row_scales.data, nrows, count, best.data, scores.data});
    };
    on_every_isa("top_rows", best, find);
    on_every_isa("the scores of top_rows", scores, find);
    on_every_isa("merge_tokens", merged, [&](const Kernels& k) {
        MergeTokensArgs args{query.data, nq, width, 0.5f, merged.data, 0};
        const Status status = k.merge_tokens(args);
        for (int64_t i = args.found * width; i < merged.size; ++i) merged[i] = 0;
        return status;
    });
    on_every_isa("rotate", rotated, [&](const Kernels& k) {
        return k.rotate({query.data, nq, width, rotation.data, 24, rotated.data});
    });
}

void find_pooled(int64_t bytes, int64_t nrows) {
    const int64_t count = below(nrows + 1);
    Exact<uint8_t> rows(nrows * bytes), allowed(nrows);
    Exact<int8_t> query(4 * bytes);
    Exact<float> row_scales(nrows), scores(count);
    Exact<uint32_t> best(count);
    for (int64_t i = 0; i < rows.size; ++i) rows[i] = static_cast<uint8_t>(below(256));
    for (int64_t i = 0; i < query.size; ++i) query[i] = static_cast<int8_t>(below(255) - 127);
    for (int64_t i = 0; i < nrows; ++i) {
        row_scales[i] = static_cast<float>(below(3)) * 0.01f;
        allowed[i] = static_cast<uint8_t>(below(4) > 0);
    }
    const auto find = [&](const Kernels& k) {
        TopPooledArgs args{query.data, 0.25,  rows.data, row_scales.data, nrows, bytes,
                           allowed.data, count, best.data, scores.data, 0};
        const Status status = k.top_pooled(args);
        for (int64_t i = args.found; i < count; ++i) best[i] = 0, scores[i] = 0;
        return status;
    };
    on_every_isa("top_pooled", best, find);
    on_every_isa("the scores of top_pooled", scores, find);
}

template <class Code>
void invert_codes(int nbytes, bool broken) {
    Segment segment(below(40));
    const int64_t nlists = below(30) + 1;
    Exact<Code> codes(segment.ntokens);
    codes.randomise_below(nlists);
    if (broken) {
        if (below(2)) codes.corrupt();
        else segment.offsets.corrupt();
    }
    Exact<int64_t> lengths(nlists);
    InvertArgs args{codes.data, sizeof(Code), segment.offsets.data, segment.offsets.size - 1, segment.ntokens,
                    nlists,     nbytes,       lengths.data,         nullptr};
    on_every_isa("invert", lengths, [&](const Kernels& k) {
        std::memset(lengths.data, 0, static_cast<size_t>(nlists) * sizeof(int64_t));
        return k.invert(args);
    });
    if (isas[0]->invert(args).fault != Fault::none) return;
    std::memset(lengths.data, 0, static_cast<size_t>(nlists) * sizeof(int64_t));
    isas[0]->invert(args);
    int64_t listed = 0;
    for (int64_t list = 0; list < nlists; ++list) listed += lengths[list];
    Exact<uint8_t> docs(listed * nbytes);
    args.docs = docs.data;
    if (listed) on_every_isa("the lists of invert", docs, [&](const Kernels& k) { return k.invert(args); });
}

}  // namespace

int main() {
    isas = available_kernels(isa_count);
    constexpr int64_t dims[] = {1, 3, 7, 13, 16, 31, 64, 96, 127, 128, 130, 257, 513};
    for (const int64_t dim : dims)
        for (const int64_t nq : {int64_t{1}, int64_t{16}, int64_t{33}, below(70) + 1}) {
            for (const int nbits : {1, 2, 4, 8})
                for (const bool broken : {false, true}) score_documents(dim, nq, nbits, broken);
            score_centroids(dim, nq);
        }
    for (int i = 0; i < 300; ++i) gather_documents(below(40) + 1, i % 2);
    for (int i = 0; i < 400; ++i) score_scaled(8 * (below(i % 10 ? 30 : 200) + 1), below(70) + 1, i % 2);
    for (int i = 0; i < 200; ++i) gather_best_documents(below(20) + 1, 2 + i % 3, i % 2);
    for (int i = 0; i < 300; ++i) find_pooled(8 * (below(30) + 1), below(70));
    for (int i = 0; i < 300; ++i) find_rows(8 * (below(20) + 1), below(40) + 1, i % 2);
    for (int i = 0; i < 300; ++i) {
        invert_codes<uint16_t>(2 + i % 3, i % 2);
        invert_codes<uint32_t>(2 + i % 3, i % 2);
    }
    std::printf("%d instruction sets\n", isa_count);
}
