// BM25: postings and the dictionary of terms.
#include "arguments.h"

namespace bindings {

namespace {

// Numbers of u8, u16 or u32.
struct Numbers {
    const uint8_t* data;
    int64_t count;
    int nbytes;
};

Numbers numbers_of(const Array& array, const char* name) {
    if (array.dtype() == dtype_of<uint8_t>()) {
        const auto found = view<uint8_t>(array, name, 1);
        return {found.data, found.rows, 1};
    }
    if (array.dtype() == dtype_of<uint16_t>()) {
        const auto found = view<uint16_t>(array, name, 1);
        return {reinterpret_cast<const uint8_t*>(found.data), found.rows, 2};
    }
    const auto found = view<uint32_t>(array, name, 1);
    return {reinterpret_cast<const uint8_t*>(found.data), found.rows, 4};
}

plait::Bm25Postings postings_of(const Array& docs) {
    const Listed listed = listed_of(docs);
    return {listed.data, listed.nbytes, nullptr, listed.count};
}

nb::object top_bm25(const Kernels& kernels, const Array& docs, const Array& tfs, const Array& doclens,
                    const Array& block_tfs, const Array& block_doclens, const Array& begins, const Array& ends,
                    const Array& slots, const Array& weights, double k1, double b, double average,
                    const std::optional<Array>& mask, int64_t k, float floor) {
    plait::Bm25Postings postings = postings_of(docs);
    const Numbers tf = numbers_of(tfs, "tfs"), block_tf = numbers_of(block_tfs, "block_tfs");
    const auto lengths = view<uint32_t>(doclens, "doclens", 1);
    const auto block_lengths = view<uint16_t>(block_doclens, "block_doclens", 1);
    const auto begin = view<int64_t>(begins, "begins", 1), end = view<int64_t>(ends, "ends", 1);
    const auto slot = view<int64_t>(slots, "slots", 1);
    const auto weight = view<double>(weights, "weights", 1);
    require_size("tfs", tf.count, postings.count, "entries");
    require_size("block_tfs", block_tf.nbytes, tf.nbytes, "bytes in each");
    require_size("block_doclens", block_lengths.rows, block_tf.count, "entries");
    require_size("ends", end.rows, begin.rows, "entries");
    require_size("slots", slot.rows, begin.rows, "entries");
    require_size("weights", weight.rows, begin.rows, "entries");
    require(lengths.rows < INT64_C(0xffffffff), "there must be fewer than 2**32 - 1 documents");
    require(average > 0, "average must be above 0");
    const uint8_t* allow = flags_of(mask, "mask", lengths.rows);
    postings.tfs = tf.data;
    const int64_t room = k < 0 ? 0 : k < lengths.rows ? k : lengths.rows;
    Result<uint32_t> best(room);
    Result<float> scores(room);
    plait::Bm25Args args{postings,     tf.nbytes,     lengths.data, lengths.rows, block_tf.data, block_lengths.data,
                         block_tf.count, begin.data,  end.data,     slot.data,    weight.data,   begin.rows,
                         k1,           b,             average,      allow,        room,          floor,
                         best.data(),  scores.data(), 0};
    call(kernels.top_bm25, args, {0, lengths.rows, 0});
    return nb::make_tuple(best.release({extent(args.found)}), scores.release({extent(args.found)}));
}

int64_t count_alive(const Kernels& kernels, const Array& docs, int64_t begin, int64_t end, const Array& alive) {
    const auto flags = view<uint8_t>(alive, "alive", 1);
    plait::CountAliveArgs args{postings_of(docs), begin, end, flags.data, flags.rows, 0};
    call(kernels.count_alive, args, {0, flags.rows, 0});
    return args.found;
}

nb::object find_terms(const Kernels& kernels, const Array& terms, const Array& term_ends, const nb::list& wanted) {
    const auto blob = view<uint8_t>(terms, "terms", 1);
    const auto ends = view<int64_t>(term_ends, "term_ends", 1);
    std::string query;
    Result<int64_t> query_ends(static_cast<int64_t>(wanted.size())), places(static_cast<int64_t>(wanted.size()));
    for (size_t i = 0; i < wanted.size(); ++i) {
        const nb::bytes term = nb::cast<nb::bytes>(wanted[i]);
        query.append(term.c_str(), term.size());
        query_ends.data()[i] = static_cast<int64_t>(query.size());
    }
    plait::FindTermsArgs args{blob.data, blob.rows, ends.data, ends.rows, reinterpret_cast<const uint8_t*>(query.data()),
                              query_ends.data(), static_cast<int64_t>(wanted.size()), places.data()};
    call(kernels.find_terms, args, {});
    nb::list found;
    for (size_t i = 0; i < wanted.size(); ++i) found.append(places.data()[i]);
    return found;
}

}  // namespace

void bind_bm25(Class& kernels) {
    kernels
        .def("top_bm25", &top_bm25, arg("docs"), arg("tfs"), arg("doclens"), arg("block_tfs"), arg("block_doclens"),
             arg("begins"), arg("ends"), arg("blocks"), arg("weights"), arg("k1"), arg("b"), arg("average"),
             arg("mask").none(), arg("k"), arg("floor") = 0.0f)
        .def("count_alive", &count_alive, arg("docs"), arg("begin"), arg("end"), arg("alive"))
        .def("find_terms", &find_terms, arg("blob"), arg("ends"), arg("terms"));
}

}  // namespace bindings
