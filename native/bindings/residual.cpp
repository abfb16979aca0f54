// ColBERTv2's residual codec, and its search: centroids, candidates, scores on codes.
#include "arguments.h"

namespace bindings {

namespace {

plait::Residuals residuals_of(const Array& codes, const Array& residuals, int64_t dim, int nbits) {
    require_dim(dim);
    require_nbits(nbits);
    const auto code = view<uint32_t>(codes, "codes", 1);
    const auto rows = view<uint8_t>(residuals, "residuals", 2);
    require_size("residuals", rows.rows, code.rows, "rows");
    require_size("residuals", rows.columns, (dim * nbits + 7) / 8, "bytes in a row");
    return {code.data, rows.data, code.rows, dim, nbits};
}

nb::object maxsim_codes(const Kernels& kernels, const Array& query8, const Array& lane_weights, const Array& table,
                        int shift, const Array& levels, int nbits, const Array& codes, const Array& residuals,
                        const Array& scales, const Array& offsets, const Array& docs) {
    const auto q = view<int8_t>(query8, "query8", 2);
    const auto weights = view<float>(lane_weights, "lane_weights", 1);
    const auto scored = view<int16_t>(table, "table", 2);
    const auto level = view<uint8_t>(levels, "levels", 1);
    const auto scale = view<Half>(scales, "scales", 1);
    require_lanes(scored.columns, q.rows, weights.rows);
    require(shift >= 0 && shift <= 15, "shift must be between 0 and 15, got " + std::to_string(shift));
    const plait::Residuals rows = residuals_of(codes, residuals, q.columns, nbits);
    require_size("levels", level.rows, 1 << nbits, "entries");
    for (int64_t i = 0; nbits != 8 && i < level.rows; ++i)
        require(level.data[i] < 128, "levels must be below 128 unless nbits is 8");
    require_size("scales", scale.rows, rows.ntokens, "entries");
    const plait::Docs chosen = docs_of(offsets, docs, rows.ntokens);
    Result<float> scores(chosen.count);
    plait::MaxsimCodesArgs args{q.data, q.rows, weights.data, scored.data, scored.rows, scored.columns, shift,
                                level.data, rows, &scale.data->bits, chosen, scores.data()};
    call(kernels.maxsim_codes, args, {scored.rows, chosen.ndocs, chosen.ntokens});
    return scores.release({extent(chosen.count)});
}

nb::object approximate(const Kernels& kernels, const Array& table, const Array& lane_weights, const Array& codes,
                       const Array& offsets, const Array& docs) {
    const auto scored = view<int16_t>(table, "table", 2);
    const auto weights = view<float>(lane_weights, "lane_weights", 1);
    const auto code = view<uint32_t>(codes, "codes", 1);
    require_lanes(scored.columns, 0, weights.rows);
    const plait::Docs chosen = docs_of(offsets, docs, code.rows);
    Result<float> scores(chosen.count);
    plait::ApproximateArgs args{scored.data, scored.rows, scored.columns, weights.data, code.data, chosen,
                                scores.data()};
    call(kernels.approximate, args, {scored.rows, chosen.ndocs, chosen.ntokens});
    return scores.release({extent(chosen.count)});
}

nb::object centroid_scores(const Kernels& kernels, const Array& query8, const Array& centroids8,
                           const Array& row_scale) {
    const auto q = view<int8_t>(query8, "query8", 2);
    const auto centroids = view<uint8_t>(centroids8, "centroids8", 2);
    const auto scale = view<float>(row_scale, "row_scale", 1);
    require_dim(q.columns);
    require_size("centroids8", centroids.columns, q.columns, "columns");
    require_size("row_scale", scale.rows, centroids.rows, "entries");
    const int64_t lanes = (q.rows > 0 ? q.rows + 15 : 16) / 16 * 16;
    Result<int16_t> table(centroids.rows * lanes);
    plait::CentroidScoresArgs args{q.data, q.rows, centroids.data, scale.data, centroids.rows, q.columns, lanes,
                                   table.data()};
    call(kernels.centroid_scores, args, {});
    return table.release({extent(centroids.rows), extent(lanes)});
}

nb::object top_centroids(const Kernels& kernels, const Array& table, int64_t nq, int64_t nprobe) {
    const auto scored = view<int16_t>(table, "table", 2);
    require_lanes(scored.columns, nq, scored.columns);
    require(nq >= 0, "nq must not be negative, got " + std::to_string(nq));
    require(nprobe >= 0 && nprobe <= scored.rows, "nprobe must be between 0 and " + std::to_string(scored.rows) +
                                                      ", the number of centroids, got " + std::to_string(nprobe));
    Result<uint32_t> best(nq * nprobe);
    plait::TopCentroidsArgs args{scored.data, scored.rows, scored.columns, nq, nprobe, best.data()};
    call(kernels.top_centroids, args, {});
    return best.release({extent(nq), extent(nprobe)});
}

nb::object gather(const Kernels& kernels, const Array& table, const Array& probes, const Array& lane_weights,
                  const Array& ivf_offsets, const Array& ivf_pids, const std::optional<Array>& allowed,
                  int64_t ndocs) {
    const auto scored = view<int16_t>(table, "table", 2);
    const auto probe = view<uint32_t>(probes, "probes", 2);
    const auto weights = view<float>(lane_weights, "lane_weights", 1);
    const auto offsets = view<int64_t>(ivf_offsets, "ivf_offsets", 1);
    const auto pids = view<uint32_t>(ivf_pids, "ivf_pids", 1);
    require_lanes(scored.columns, probe.rows, weights.rows);
    require_size("ivf_offsets", offsets.rows, scored.rows + 1, "entries");
    require(ndocs >= 0 && ndocs <= INT64_C(1) << 32, "ndocs must be between 0 and 2**32, got " + std::to_string(ndocs));
    const uint8_t* allow = flags_of(allowed, "allowed", ndocs);
    const int64_t room = ndocs < pids.rows ? ndocs : pids.rows;
    Result<uint32_t> docs(room);
    Result<float> scores(room);
    plait::GatherArgs args{scored.data, scored.rows, scored.columns, probe.data, probe.rows, probe.columns,
                           weights.data, offsets.data, pids.data, pids.rows, allow, ndocs, docs.data(),
                           scores.data(), 0};
    call(kernels.gather, args, {scored.rows, ndocs, 0});
    docs.shrink(args.found);
    scores.shrink(args.found);
    return nb::make_tuple(docs.release({extent(args.found)}), scores.release({extent(args.found)}));
}

nb::object compress(const Kernels& kernels, const Array& vectors, const Array& centroids, const Array& codes,
                    const Array& cutoffs, int nbits) {
    const auto v = view<float>(vectors, "vectors", 2);
    const auto c = view<float>(centroids, "centroids", 2);
    const auto code = view<uint32_t>(codes, "codes", 1);
    const auto cutoff = view<float>(cutoffs, "cutoffs", 1);
    require_dim(v.columns);
    require_nbits(nbits);
    require_size("centroids", c.columns, v.columns, "columns");
    require_size("codes", code.rows, v.rows, "entries");
    require_size("cutoffs", cutoff.rows, (1 << nbits) - 1, "entries");
    const int64_t bytes = (v.columns * nbits + 7) / 8;
    Result<uint8_t> rows(v.rows * bytes);
    plait::CompressArgs args{v.data, c.data, c.rows, code.data, cutoff.data, v.rows, v.columns, nbits, rows.data()};
    call(kernels.compress, args, {c.rows, 0, 0});
    return rows.release({extent(v.rows), extent(bytes)});
}

struct Codec {
    plait::Residuals residuals;
    View<float> centroids;
    const float* weights;
};

Codec codec_of(const Array& codes, const Array& residuals, const Array& centroids, const Array& weights, int nbits) {
    const auto c = view<float>(centroids, "centroids", 2);
    const auto w = view<float>(weights, "weights", 1);
    const plait::Residuals rows = residuals_of(codes, residuals, c.columns, nbits);
    require_size("weights", w.rows, 1 << nbits, "entries");
    return {rows, c, w.data};
}

nb::object decompress(const Kernels& kernels, const Array& codes, const Array& residuals, const Array& centroids,
                      const Array& weights, int nbits) {
    const Codec codec = codec_of(codes, residuals, centroids, weights, nbits);
    const int64_t ntokens = codec.residuals.ntokens, dim = codec.residuals.dim;
    Result<float> vectors(ntokens * dim);
    plait::DecompressArgs args{codec.residuals, codec.centroids.data, codec.centroids.rows, codec.weights,
                               vectors.data(), nullptr};
    call(kernels.decompress, args, {codec.centroids.rows, 0, 0});
    return vectors.release({extent(ntokens), extent(dim)});
}

nb::object inverse_norms(const Kernels& kernels, const Array& codes, const Array& residuals, const Array& centroids,
                         const Array& weights, int nbits) {
    const Codec codec = codec_of(codes, residuals, centroids, weights, nbits);
    const int64_t ntokens = codec.residuals.ntokens;
    Result<Half> norms(ntokens);
    plait::DecompressArgs args{codec.residuals, codec.centroids.data, codec.centroids.rows, codec.weights, nullptr,
                               &norms.data()->bits};
    call(kernels.decompress, args, {codec.centroids.rows, 0, 0});
    return norms.release({extent(ntokens)});
}

}  // namespace

void bind_residual(Class& kernels) {
    kernels
        .def("centroid_scores", &centroid_scores, arg("query8"), arg("centroids8"), arg("row_scale"))
        .def("top_centroids", &top_centroids, arg("table"), arg("nq"), arg("nprobe"))
        .def("gather", &gather, arg("table"), arg("probes"), arg("lane_weights"), arg("ivf_offsets"),
             arg("ivf_pids"), arg("allowed").none(), arg("ndocs"))
        .def("approximate", &approximate, arg("table"), arg("lane_weights"), arg("codes"), arg("offsets"), arg("docs"))
        .def("maxsim_codes", &maxsim_codes, arg("query8"), arg("lane_weights"), arg("table"), arg("shift"),
             arg("levels"), arg("nbits"), arg("codes"), arg("residuals"), arg("scales"), arg("offsets"), arg("docs"))
        .def("compress", &compress, arg("vectors"), arg("centroids"), arg("codes"), arg("cutoffs"), arg("nbits"))
        .def("decompress", &decompress, arg("codes"), arg("residuals"), arg("centroids"), arg("weights"), arg("nbits"))
        .def("inverse_norms", &inverse_norms, arg("codes"), arg("residuals"), arg("centroids"), arg("weights"),
             arg("nbits"));
}

}  // namespace bindings
