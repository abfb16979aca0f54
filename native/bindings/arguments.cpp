#include "arguments.h"

namespace bindings {

using plait::Fault;

std::string name_of(nb::dlpack::dtype type) {
    using Code = nb::dlpack::dtype_code;
    const char* kind = type.code == static_cast<uint8_t>(Code::Int)     ? "int"
                       : type.code == static_cast<uint8_t>(Code::UInt)  ? "uint"
                       : type.code == static_cast<uint8_t>(Code::Float) ? "float"
                                                                        : "other";
    return kind + std::to_string(type.bits);
}

void refuse(const std::string& message) { throw nb::value_error(message.c_str()); }

void require(bool condition, const std::string& message) {
    if (!condition) refuse(message);
}

void require_size(const char* name, int64_t got, int64_t expected, const char* meaning) {
    if (got != expected)
        refuse(std::string(name) + " has " + std::to_string(got) + " " + meaning + ", expected " +
               std::to_string(expected));
}

void require_dim(int64_t dim) {
    // Up to here the sums of products of bytes fit an i32.
    require(dim >= 1 && dim < 65536, "dim must be between 1 and 65535, got " + std::to_string(dim));
}

void require_nbits(int nbits) {
    require(nbits == 1 || nbits == 2 || nbits == 4 || nbits == 8,
            "nbits must be 1, 2, 4 or 8, got " + std::to_string(nbits));
}

void require_lanes(int64_t lanes, int64_t nq, int64_t weights) {
    require(lanes >= 16 && lanes % 16 == 0, "table must have a multiple of 16 columns, got " + std::to_string(lanes));
    require(nq <= lanes, "table has " + std::to_string(lanes) + " columns, too few for " + std::to_string(nq) +
                             " query tokens");
    require_size("lane_weights", weights, lanes, "entries");
}

const uint8_t* flags_of(const std::optional<Array>& flags, const char* name, int64_t count) {
    if (!flags) return nullptr;
    const auto given = view<uint8_t>(*flags, name, 1);
    require_size(name, given.rows, count, "entries");
    return given.data;
}

plait::Docs docs_of(const Array& offsets, const Array& docs, int64_t ntokens) {
    const auto starts = view<int64_t>(offsets, "offsets", 1);
    const auto chosen = view<uint32_t>(docs, "docs", 1);
    require(starts.rows >= 1, "offsets must have one entry more than there are documents, got none");
    return {starts.data, starts.rows - 1, ntokens, chosen.data, chosen.rows};
}

Listed listed_of(const Array& docs) {
    if (docs.ndim() == 2) {
        const auto wide = view<uint8_t>(docs, "list_docs", 2);
        require_size("list_docs", wide.columns, 3, "columns");
        return {wide.data, wide.rows, 3};
    }
    if (docs.dtype() == dtype_of<uint16_t>()) {
        const auto narrow = view<uint16_t>(docs, "list_docs", 1);
        return {reinterpret_cast<const uint8_t*>(narrow.data), narrow.rows, 2};
    }
    const auto plain = view<uint32_t>(docs, "list_docs", 1);
    return {reinterpret_cast<const uint8_t*>(plain.data), plain.rows, 4};
}

void report(const Status& status, const Limits& limits) {
    const std::string at = "[" + std::to_string(status.where) + "] ";
    switch (status.fault) {
        case Fault::doc:
            refuse("docs" + at + "is out of range: the segment has " + std::to_string(limits.ndocs) + " documents");
        case Fault::offset:
            refuse("offsets" + at + "is out of range: offsets must ascend from 0 to at most " +
                   std::to_string(limits.ntokens) + " tokens");
        case Fault::code:
            refuse("codes" + at + "is out of range: there are " + std::to_string(limits.ncentroids) + " centroids");
        case Fault::probe:
            refuse("probes" + at + "(counted over all rows) is out of range: there are " +
                   std::to_string(limits.ncentroids) + " centroids");
        case Fault::list:
            refuse("ivf_offsets" + at + "is out of range: offsets must ascend from 0 to the length of ivf_pids");
        case Fault::pid:
            refuse("ivf_pids" + at + "is out of range: the segment has " + std::to_string(limits.ndocs) + " documents");
        case Fault::unsorted: refuse("ivf_pids" + at + "is out of range: a list must ascend");
        case Fault::postings: refuse("the list of term " + std::to_string(status.where) + " is beyond the postings");
        case Fault::unsorted_postings:
            refuse("postings from " + std::to_string(status.where) + " on are not ascending, or name a document of " +
                   std::to_string(limits.ndocs) + " that does not exist");
        case Fault::dictionary: refuse("term_ends" + at + "is out of range: the dictionary is shorter");
        case Fault::gain: refuse("gains" + at + "is too large: the largest of all rows must sum to at most 65535");
        default: throw std::bad_alloc();
    }
}

}  // namespace bindings
