// The scaled codec: vectors to codes, back, and scores on codes.
#include "arguments.h"

#include <array>

namespace bindings {

namespace {

using Bits = std::array<int64_t, 3>;

plait::ScaledCodec scaled_codec_of(const Array& centroids8, const Array& centroid_scales, const Array& sigma,
                                   const Bits& bits) {
    const auto centroids = view<uint8_t>(centroids8, "centroids8", 2);
    const auto scales = view<float>(centroid_scales, "centroid_scales", 1);
    const auto step = view<float>(sigma, "sigma", 1);
    require_dim(step.rows);
    require(step.rows % 8 == 0, "sigma must have a multiple of 8 entries, got " + std::to_string(step.rows));
    require_size("centroids8", centroids.columns, step.rows, "columns");
    require_size("centroid_scales", scales.rows, centroids.rows, "entries");
    int64_t room = step.rows;
    for (int part = 0; part < 3; ++part) {
        require(bits[part] >= 0 && bits[part] <= room && bits[part] % (8 << part) == 0,
                "bits must be multiples of 8, 16 and 32 and together at most the width, " + std::to_string(step.rows));
        room -= bits[part];
    }
    return {centroids.data, scales.data, centroids.rows, step.data, step.rows, {bits[0], bits[1], bits[2]},
            bits[0] / 2 + bits[1] / 4 + bits[2] / 8, nullptr};
}

struct Scaled {
    plait::ScaledTokens tokens;
    plait::ScaledCodec codec;
};

Scaled scaled_of(const Array& codes, const Array& rows, const Array& gains, const Array& centroids8,
                 const Array& centroid_scales, const Array& sigma, const Bits& bits, const Array& gain_values) {
    plait::ScaledCodec codec = scaled_codec_of(centroids8, centroid_scales, sigma, bits);
    const auto code = view<uint16_t>(codes, "codes", 1);
    const auto row = view<uint8_t>(rows, "rows", 2);
    const auto gain = view<uint8_t>(gains, "gains", 1);
    const auto values = view<float>(gain_values, "gain_values", 2);
    require_size("rows", row.rows, code.rows, "rows");
    require_size("rows", row.columns, codec.row_bytes, "bytes in a row");
    require_size("gains", gain.rows, code.rows, "entries");
    require_size("gain_values", values.rows, 256, "rows");
    require_size("gain_values", values.columns, 2, "columns");
    codec.gain_values = values.data;
    return {{code.data, row.data, gain.data, code.rows}, codec};
}

nb::object encode_scaled(const Kernels& kernels, const Array& vectors, const Array& codes, const Array& centroids8,
                         const Array& centroid_scales, const Array& sigma, const Bits& bits) {
    const plait::ScaledCodec codec = scaled_codec_of(centroids8, centroid_scales, sigma, bits);
    const auto v = view<float>(vectors, "vectors", 2);
    const auto code = view<uint16_t>(codes, "codes", 1);
    require_size("vectors", v.columns, codec.width, "columns");
    require_size("codes", code.rows, v.rows, "entries");
    Result<uint8_t> rows(v.rows * codec.row_bytes);
    Result<float> gains(v.rows * 2);
    plait::EncodeScaledArgs args{v.data, code.data, v.rows, codec, rows.data(), gains.data()};
    call(kernels.encode_scaled, args, {codec.ncentroids, 0, 0});
    return nb::make_tuple(rows.release({extent(v.rows), extent(codec.row_bytes)}), gains.release({extent(v.rows), 2}));
}

nb::object decode_scaled(const Kernels& kernels, const Array& codes, const Array& rows, const Array& gains,
                         const Array& centroids8, const Array& centroid_scales, const Array& sigma, const Bits& bits,
                         const Array& gain_values) {
    const Scaled scaled = scaled_of(codes, rows, gains, centroids8, centroid_scales, sigma, bits, gain_values);
    const int64_t count = scaled.tokens.count, width = scaled.codec.width;
    Result<float> vectors(count * width);
    plait::DecodeScaledArgs args{scaled.tokens, scaled.codec, vectors.data()};
    call(kernels.decode_scaled, args, {scaled.codec.ncentroids, 0, 0});
    return vectors.release({extent(count), extent(width)});
}

// maxsim_scaled and maxsim_decoded take the same arguments, and so do those of several queries.
template <auto kKernel>
nb::object maxsim_of_scaled(const Kernels& kernels, const Array& query, const Array& codes, const Array& rows,
                            const Array& gains, const Array& centroids8, const Array& centroid_scales,
                            const Array& sigma, const Bits& bits, const Array& gain_values, const Array& offsets,
                            const Array& docs) {
    const Scaled scaled = scaled_of(codes, rows, gains, centroids8, centroid_scales, sigma, bits, gain_values);
    const auto q = view<float>(query, "query", 2);
    require_size("query", q.columns, scaled.codec.width, "columns");
    const plait::Docs chosen = docs_of(offsets, docs, scaled.tokens.count);
    Result<float> scores(chosen.count);
    plait::MaxsimScaledArgs args{q.data, q.rows, &q.rows, 1, scaled.tokens, scaled.codec, chosen, scores.data()};
    call(kernels.*kKernel, args, {scaled.codec.ncentroids, chosen.ndocs, chosen.ntokens});
    return scores.release({extent(chosen.count)});
}

template <auto kKernel>
nb::object maxsim_of_scaled_all(const Kernels& kernels, const Array& queries, const Array& query_offsets,
                                const Array& codes, const Array& rows, const Array& gains, const Array& centroids8,
                                const Array& centroid_scales, const Array& sigma, const Bits& bits,
                                const Array& gain_values, const Array& offsets, const Array& docs) {
    const Scaled scaled = scaled_of(codes, rows, gains, centroids8, centroid_scales, sigma, bits, gain_values);
    const auto q = view<float>(queries, "queries", 2);
    const auto ends = view<int64_t>(query_offsets, "query_offsets", 1);
    require_size("queries", q.columns, scaled.codec.width, "columns");
    bool sound = ends.rows > 1 && ends.data[0] == 0 && ends.data[ends.rows - 1] == q.rows;
    for (int64_t i = 1; sound && i < ends.rows; ++i) sound = ends.data[i - 1] < ends.data[i];
    require(sound, "query_offsets must ascend from 0 to the " + std::to_string(q.rows) + " rows of queries");
    const plait::Docs chosen = docs_of(offsets, docs, scaled.tokens.count);
    const int64_t nqueries = ends.rows - 1;
    Result<float> scores(nqueries * chosen.count);
    plait::MaxsimScaledArgs args{q.data,       q.rows, ends.data + 1, nqueries, scaled.tokens,
                                 scaled.codec, chosen, scores.data()};
    call(kernels.*kKernel, args, {scaled.codec.ncentroids, chosen.ndocs, chosen.ntokens});
    return scores.release({extent(nqueries), extent(chosen.count)});
}

nb::object rotate(const Kernels& kernels, const Array& vectors, const Array& rotation) {
    const auto v = view<float>(vectors, "vectors", 2);
    const auto r = view<float>(rotation, "rotation", 2);
    require_dim(v.columns);
    require_dim(r.columns);
    require_size("rotation", r.rows, v.columns, "rows");
    Result<float> rotated(v.rows * r.columns);
    plait::RotateArgs args{v.data, v.rows, v.columns, r.data, r.columns, rotated.data()};
    call(kernels.rotate, args, {});
    return rotated.release({extent(v.rows), extent(r.columns)});
}

}  // namespace

void bind_scaled(Class& kernels) {
    kernels
        .def("rotate", &rotate, arg("vectors"), arg("rotation"))
        .def("encode_scaled", &encode_scaled, arg("vectors"), arg("codes"), arg("centroids8"),
             arg("centroid_scales"), arg("sigma"), arg("bits"))
        .def("decode_scaled", &decode_scaled, arg("codes"), arg("rows"), arg("gains"), arg("centroids8"),
             arg("centroid_scales"), arg("sigma"), arg("bits"), arg("gain_values"))
        .def("maxsim_scaled", &maxsim_of_scaled<&Kernels::maxsim_scaled>, arg("query"), arg("codes"), arg("rows"),
             arg("gains"), arg("centroids8"), arg("centroid_scales"), arg("sigma"), arg("bits"), arg("gain_values"),
             arg("offsets"), arg("docs"))
        .def("maxsim_decoded", &maxsim_of_scaled<&Kernels::maxsim_decoded>, arg("query"), arg("codes"), arg("rows"),
             arg("gains"), arg("centroids8"), arg("centroid_scales"), arg("sigma"), arg("bits"), arg("gain_values"),
             arg("offsets"), arg("docs"))
        .def("maxsim_scaled_all", &maxsim_of_scaled_all<&Kernels::maxsim_scaled>, arg("queries"),
             arg("query_offsets"), arg("codes"), arg("rows"), arg("gains"), arg("centroids8"),
             arg("centroid_scales"), arg("sigma"), arg("bits"), arg("gain_values"), arg("offsets"), arg("docs"))
        .def("maxsim_decoded_all", &maxsim_of_scaled_all<&Kernels::maxsim_decoded>, arg("queries"),
             arg("query_offsets"), arg("codes"), arg("rows"), arg("gains"), arg("centroids8"),
             arg("centroid_scales"), arg("sigma"), arg("bits"), arg("gain_values"), arg("offsets"), arg("docs"));
}

}  // namespace bindings
