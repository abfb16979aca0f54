// Inverted lists: made, found through groups of rows, and summed up.
#include "arguments.h"

namespace bindings {

namespace {

nb::object invert(const Kernels& kernels, const Array& codes, const Array& offsets, int64_t nlists, int nbytes) {
    const bool narrow = codes.dtype() == dtype_of<uint16_t>();
    const void* code;
    int64_t ntokens;
    if (narrow) {
        const auto found = view<uint16_t>(codes, "codes", 1);
        code = found.data, ntokens = found.rows;
    } else {
        const auto found = view<uint32_t>(codes, "codes", 1);
        code = found.data, ntokens = found.rows;
    }
    const auto offset = view<int64_t>(offsets, "offsets", 1);
    require(offset.rows >= 1, "offsets must have at least one entry");
    require(nlists >= 0 && nlists <= INT64_C(1) << 32, "nlists must be between 0 and 2**32, got " + std::to_string(nlists));
    require(nbytes >= 2 && nbytes <= 4, "nbytes must be 2, 3 or 4, got " + std::to_string(nbytes));
    const int64_t ndocs = offset.rows - 1;
    require(ndocs <= INT64_C(1) << (8 * nbytes) && ndocs < INT64_C(0xffffffff),
            std::to_string(ndocs) + " documents can't be written in " + std::to_string(nbytes) + " bytes each");
    Result<int64_t> lengths(nlists, true);
    plait::InvertArgs args{code, narrow ? 2 : 4, offset.data, ndocs, ntokens, nlists, nbytes, lengths.data(), nullptr};
    call(kernels.invert, args, {nlists, ndocs, ntokens});
    int64_t total = 0;
    for (int64_t list = 0; list < nlists; ++list) total += lengths.data()[list];
    Result<uint8_t> docs(total * nbytes + 4);
    args.docs = docs.data();
    call(kernels.invert, args, {nlists, ndocs, ntokens});
    nb::object raw = docs.release({extent(total * nbytes)});
    const char* form = nbytes == 2 ? "uint16" : nbytes == 4 ? "uint32" : "uint8";
    nb::object shaped = raw.attr("view")(form);
    if (nbytes == 3) shaped = shaped.attr("reshape")(-1, 3);
    return nb::make_tuple(lengths.release({extent(nlists)}), shaped);
}

nb::object top_rows(const Kernels& kernels, const Array& query, const Array& probes, const Array& group_offsets,
                    const Array& rows8, const Array& row_scales, int64_t count) {
    const auto q = view<float>(query, "query", 2);
    const auto probe = view<uint32_t>(probes, "probes", 2);
    const auto groups = view<int64_t>(group_offsets, "group_offsets", 1);
    const auto rows = view<uint8_t>(rows8, "rows8", 2);
    const auto scales = view<float>(row_scales, "row_scales", 1);
    require_dim(q.columns);
    require(q.columns % 8 == 0, "query must have a multiple of 8 columns, got " + std::to_string(q.columns));
    require_size("probes", probe.rows, q.rows, "rows");
    require_size("rows8", rows.columns, q.columns, "columns");
    require_size("row_scales", scales.rows, rows.rows, "entries");
    require(groups.rows >= 1, "group_offsets must have at least one entry");
    require(rows.rows < INT64_C(0xffffffff), "rows8 must have fewer than 2**32 - 1 rows");
    require(count >= 0, "count must not be negative, got " + std::to_string(count));
    Result<uint32_t> best(q.rows * count);
    Result<float> scores(q.rows * count);
    plait::TopRowsArgs args{q.data,         q.rows,    q.columns,   probe.data, probe.columns, groups.data,
                            groups.rows - 1, rows.data, scales.data, rows.rows,  count,         best.data(),
                            scores.data()};
    call(kernels.top_rows, args, {groups.rows - 1, 0, 0});
    return nb::make_tuple(best.release({extent(q.rows), extent(count)}), scores.release({extent(q.rows), extent(count)}));
}

nb::object gather_top(const Kernels& kernels, const Array& lists, const Array& gains, const Array& list_offsets,
                      const Array& list_docs, const std::optional<Array>& allowed, int64_t ndocs, int64_t count) {
    const auto list = view<uint32_t>(lists, "lists", 2);
    const auto value = view<uint16_t>(gains, "gains", 2);
    const auto offsets = view<int64_t>(list_offsets, "list_offsets", 1);
    const Listed listed = listed_of(list_docs);
    require(list.rows < 65536, "lists must have fewer than 65536 rows, got " + std::to_string(list.rows));
    require_size("gains", value.rows, list.rows, "rows");
    require_size("gains", value.columns, list.columns, "columns");
    require(offsets.rows >= 1, "list_offsets must have at least one entry");
    require(ndocs >= 0 && ndocs < INT64_C(0xffffffff), "ndocs must be between 0 and 2**32 - 2, got " + std::to_string(ndocs));
    require(count >= 0, "count must not be negative, got " + std::to_string(count));
    const uint8_t* allow = flags_of(allowed, "allowed", ndocs);
    int64_t room = ndocs < listed.count ? ndocs : listed.count;
    room = count < room ? count : room;
    Result<uint32_t> docs(room);
    Result<float> best(room);
    plait::GatherTopArgs args{list.data,   value.data,   list.rows,     list.columns, offsets.data, offsets.rows - 1,
                              listed.data, listed.count, listed.nbytes, allow,        ndocs,        room,
                              docs.data(), best.data(),  0};
    call(kernels.gather_top, args, {offsets.rows - 1, ndocs, 0});
    return nb::make_tuple(docs.release({extent(args.found)}), best.release({extent(args.found)}));
}

}  // namespace

void bind_lists(Class& kernels) {
    kernels
        .def("invert", &invert, arg("codes"), arg("offsets"), arg("nlists"), arg("nbytes"))
        .def("top_rows", &top_rows, arg("query"), arg("probes"), arg("group_offsets"), arg("rows8"),
             arg("row_scales"), arg("count"))
        .def("gather_top", &gather_top, arg("lists"), arg("gains"), arg("list_offsets"), arg("list_docs"),
             arg("allowed").none(), arg("ndocs"), arg("count"));
}

}  // namespace bindings
