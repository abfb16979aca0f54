// Single vectors.
#include "arguments.h"

namespace bindings {

namespace {

nb::object top_pooled(const Kernels& kernels, const Array& query, double query_scale, const Array& rows,
                      const Array& scales, const std::optional<Array>& allowed, int64_t count) {
    const auto q = view<int8_t>(query, "query", 2);
    const auto row = view<uint8_t>(rows, "rows", 2);
    const auto scale = view<float>(scales, "scales", 1);
    require_size("query", q.rows, 2, "rows");
    require_size("query", q.columns, 2 * row.columns, "columns");
    require(row.columns >= 8 && row.columns % 8 == 0 && row.columns <= 4096,
            "rows must have a multiple of 8 bytes, at most 4096, got " + std::to_string(row.columns));
    require_size("scales", scale.rows, row.rows, "entries");
    require(row.rows < INT64_C(0xffffffff), "rows must be fewer than 2**32 - 1");
    require(count >= 0, "count must not be negative, got " + std::to_string(count));
    const uint8_t* allow = flags_of(allowed, "allowed", row.rows);
    count = count < row.rows ? count : row.rows;
    Result<uint32_t> best(count);
    Result<float> scores(count);
    plait::TopPooledArgs args{q.data,      query_scale, row.data, scale.data,  row.rows, row.columns,
                              allow,       count,       best.data(), scores.data(), 0};
    call(kernels.top_pooled, args, {});
    best.shrink(args.found);
    scores.shrink(args.found);
    return nb::make_tuple(best.release({extent(args.found)}), scores.release({extent(args.found)}));
}

}  // namespace

void bind_pooled(Class& kernels) {
    kernels
        .def("top_pooled", &top_pooled, arg("query"), arg("query_scale"), arg("rows"), arg("scales"),
             arg("allowed").none(), arg("count"));
}

}  // namespace bindings
