// MaxSim of vectors as they are, a query's tokens merged, and the best of scores.
#include "arguments.h"

namespace bindings {

namespace {

nb::object maxsim(const Kernels& kernels, const Array& query, const Array& vectors, const Array& offsets,
                  const Array& docs) {
    const auto q = view<float>(query, "query", 2);
    const auto v = view<float>(vectors, "vectors", 2);
    require_dim(q.columns);
    require_size("vectors", v.columns, q.columns, "columns");
    const plait::Docs chosen = docs_of(offsets, docs, v.rows);
    Result<float> scores(chosen.count);
    plait::MaxsimArgs args{q.data, q.rows, v.data, q.columns, chosen, scores.data()};
    call(kernels.maxsim, args, {0, chosen.ndocs, chosen.ntokens});
    return scores.release({extent(chosen.count)});
}

nb::object merge_tokens(const Kernels& kernels, const Array& query, double similarity) {
    const auto q = view<float>(query, "query", 2);
    require_dim(q.columns);
    Result<float> merged(q.rows * q.columns);
    plait::MergeTokensArgs args{q.data, q.rows, q.columns, static_cast<float>(similarity), merged.data(), 0};
    call(kernels.merge_tokens, args, {});
    return merged.release({extent(args.found), extent(q.columns)});
}

nb::object top_k(const Kernels& kernels, const Array& scores, int64_t k) {
    const auto values = view<float>(scores, "scores", 1);
    require(k >= 0, "k must not be negative, got " + std::to_string(k));
    require(values.rows <= UINT32_MAX, "scores must have fewer than 2**32 entries");
    const int64_t count = k < values.rows ? k : values.rows;
    Result<int64_t> positions(count);
    plait::TopKArgs args{values.data, values.rows, count, positions.data()};
    call(kernels.top_k, args, {});
    return positions.release({extent(count)});
}

}  // namespace

void bind_exact(Class& kernels) {
    kernels
        .def("maxsim", &maxsim, arg("query"), arg("vectors"), arg("offsets"), arg("docs"))
        .def("merge_tokens", &merge_tokens, arg("query"), arg("similarity"))
        .def("top_k", &top_k, arg("scores"), arg("k"));
}

}  // namespace bindings
