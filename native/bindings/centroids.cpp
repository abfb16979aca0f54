// k-means: which centroid a vector belongs to, and what each centroid gets.
#include "arguments.h"

namespace bindings {

namespace {

nb::object assign(const Kernels& kernels, const Array& vectors, const Array& centroids8, const Array& scales) {
    const auto v = view<float>(vectors, "vectors", 2);
    const auto centroids = view<uint8_t>(centroids8, "centroids8", 2);
    const auto scale = view<float>(scales, "scales", 1);
    require_dim(v.columns);
    require_size("centroids8", centroids.columns, v.columns, "columns");
    require_size("scales", scale.rows, centroids.rows, "entries");
    require(centroids.rows >= 1 && centroids.rows <= INT32_MAX,
            "centroids8 must have between 1 and 2**31 - 1 rows, got " + std::to_string(centroids.rows));
    Result<uint32_t> codes(v.rows);
    plait::AssignArgs args{v.data, v.rows, centroids.data, scale.data, centroids.rows, v.columns, codes.data()};
    call(kernels.assign, args, {});
    return codes.release({extent(v.rows)});
}

nb::object assign_grouped(const Kernels& kernels, const Array& vectors, const Array& heads8, const Array& head_scale,
                          const Array& centroids8, const Array& scales, const Array& offsets, int64_t nprobe,
                          double margin) {
    const auto v = view<float>(vectors, "vectors", 2);
    const auto heads = view<uint8_t>(heads8, "heads8", 2);
    const auto head = view<float>(head_scale, "head_scale", 1);
    const auto centroids = view<uint8_t>(centroids8, "centroids8", 2);
    const auto scale = view<float>(scales, "scales", 1);
    const auto groups = view<int64_t>(offsets, "group_offsets", 1);
    require_dim(v.columns);
    require_size("heads8", heads.columns, v.columns, "columns");
    require_size("head_scale", head.rows, heads.rows, "entries");
    require_size("centroids8", centroids.columns, v.columns, "columns");
    require_size("scales", scale.rows, centroids.rows, "entries");
    require_size("group_offsets", groups.rows, heads.rows + 1, "entries");
    require(centroids.rows >= 1 && centroids.rows <= INT32_MAX,
            "centroids8 must have between 1 and 2**31 - 1 rows, got " + std::to_string(centroids.rows));
    require(nprobe >= 1 && nprobe <= heads.rows,
            "nprobe must be between 1 and the number of heads, got " + std::to_string(nprobe));
    require(margin >= 0, "margin must be at least 0, got " + std::to_string(margin));
    bool ascending = groups.data[0] == 0 && groups.data[heads.rows] == centroids.rows;
    for (int64_t group = 0; group < heads.rows; ++group)
        ascending = ascending && groups.data[group] < groups.data[group + 1];
    require(ascending, "group_offsets must ascend from 0 to the number of centroids, and no group may be empty");
    Result<uint32_t> codes(v.rows);
    plait::AssignGroupedArgs args{v.data,         v.rows,     heads.data,  head.data, heads.rows,
                                  centroids.data, scale.data, groups.data, nprobe,    static_cast<float>(margin),
                                  v.columns,      codes.data()};
    call(kernels.assign_grouped, args, {});
    return codes.release({extent(v.rows)});
}

nb::object sum_by_centroid(const Kernels& kernels, const Array& vectors, const Array& codes, int64_t ncentroids) {
    const auto v = view<float>(vectors, "vectors", 2);
    const auto code = view<uint32_t>(codes, "codes", 1);
    require_dim(v.columns);
    require_size("codes", code.rows, v.rows, "entries");
    require(ncentroids >= 0 && ncentroids <= INT64_C(1) << 32,
            "ncentroids must be between 0 and 2**32, got " + std::to_string(ncentroids));
    Result<double> sums(ncentroids * v.columns, true);
    Result<int64_t> counts(ncentroids, true);
    plait::SumArgs args{v.data, code.data, v.rows, ncentroids, v.columns, sums.data(), counts.data()};
    call(kernels.sum_by_centroid, args, {ncentroids, 0, 0});
    return nb::make_tuple(sums.release({extent(ncentroids), extent(v.columns)}), counts.release({extent(ncentroids)}));
}

}  // namespace

void bind_centroids(Class& kernels) {
    kernels
        .def("assign", &assign, arg("vectors"), arg("centroids8"), arg("scales"))
        .def("assign_grouped", &assign_grouped, arg("vectors"), arg("heads8"), arg("head_scale"), arg("centroids8"),
             arg("scales"), arg("group_offsets"), arg("nprobe"), arg("margin"))
        .def("sum_by_centroid", &sum_by_centroid, arg("vectors"), arg("codes"), arg("ncentroids"));
}

}  // namespace bindings
