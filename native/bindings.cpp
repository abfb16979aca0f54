// The door between Python and the kernels: arguments are checked here, so that a kernel may trust
// every size it is given. What lies inside the arrays (codes, offsets, pids) may come from a broken
// file and is checked by the kernels while they read it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string>

#include "api.h"

namespace nb = nanobind;

namespace {

using plait::Fault;
using plait::Kernels;
using plait::Status;
using Array = nb::ndarray<nb::ro>;

struct Half {
    uint16_t bits;
};

template <class T>
nb::dlpack::dtype dtype_of() {
    if constexpr (std::is_same_v<T, Half>)
        return {static_cast<uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
    else
        return nb::dtype<T>();
}

std::string name_of(nb::dlpack::dtype type) {
    using Code = nb::dlpack::dtype_code;
    const char* kind = type.code == static_cast<uint8_t>(Code::Int)     ? "int"
                       : type.code == static_cast<uint8_t>(Code::UInt)  ? "uint"
                       : type.code == static_cast<uint8_t>(Code::Float) ? "float"
                                                                        : "other";
    return kind + std::to_string(type.bits);
}

[[noreturn]] void refuse(const std::string& message) { throw nb::value_error(message.c_str()); }

void require(bool condition, const std::string& message) {
    if (!condition) refuse(message);
}

template <class T>
struct View {
    const T* data;
    int64_t rows;
    int64_t columns;  // 1 for a vector
};

template <class T>
View<T> view(const Array& array, const char* name, size_t ndim) {
    if (array.dtype() != dtype_of<T>() || array.ndim() != ndim || array.device_type() != nb::device::cpu::value)
        throw nb::type_error((std::string(name) + " must be " + name_of(dtype_of<T>()) + " with " +
                              std::to_string(ndim) + " dimension(s), got " + name_of(array.dtype()) + " with " +
                              std::to_string(array.ndim()))
                                 .c_str());
    int64_t expected = 1;
    for (size_t i = ndim; i-- > 0 && array.size();) {
        require(array.shape(i) == 1 || array.stride(i) == expected,
                std::string(name) + " must be contiguous in C order");
        expected *= static_cast<int64_t>(array.shape(i));
    }
    return {static_cast<const T*>(array.data()), static_cast<int64_t>(array.shape(0)),
            ndim == 2 ? static_cast<int64_t>(array.shape(1)) : 1};
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

void require_lanes(int64_t lanes, int64_t nq, int64_t weights) {
    require(lanes >= 16 && lanes % 16 == 0, "table must have a multiple of 16 columns, got " + std::to_string(lanes));
    require(nq <= lanes, "table has " + std::to_string(lanes) + " columns, too few for " + std::to_string(nq) +
                             " query tokens");
    require_size("lane_weights", weights, lanes, "entries");
}

void require_nbits(int nbits) {
    require(nbits == 1 || nbits == 2 || nbits == 4 || nbits == 8,
            "nbits must be 1, 2, 4 or 8, got " + std::to_string(nbits));
}

// An array that a kernel fills; Python frees it.
template <class T>
class Result {
public:
    explicit Result(int64_t count, bool zeros = false)
        : data_(static_cast<T*>(zeros ? std::calloc(static_cast<size_t>(count) + 1, sizeof(T))
                                      : std::malloc((static_cast<size_t>(count) + 1) * sizeof(T)))) {
        if (!data_) throw std::bad_alloc();
    }
    ~Result() { std::free(data_); }
    Result(const Result&) = delete;
    Result& operator=(const Result&) = delete;

    T* data() { return data_; }

    void shrink(int64_t count) {
        if (void* smaller = std::realloc(data_, (static_cast<size_t>(count) + 1) * sizeof(T)))
            data_ = static_cast<T*>(smaller);
    }

    nb::object release(std::initializer_list<size_t> shape) {
        nb::capsule owner(data_, [](void* p) noexcept { std::free(p); });
        nb::ndarray<nb::numpy> array(data_, shape, owner, {}, dtype_of<T>());
        data_ = nullptr;
        return nb::cast(array);
    }

private:
    T* data_;
};

// What a broken array was measured against, for the message.
struct Limits {
    int64_t ncentroids = 0, ndocs = 0, ntokens = 0;
};

[[noreturn]] void report(const Status& status, const Limits& limits) {
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

template <class Args>
void call(Status (*kernel)(Args&), std::remove_const_t<Args>& args, const Limits& limits) {
    Status status;
    {
        nb::gil_scoped_release release;
        status = kernel(args);
    }
    if (status.fault != Fault::none) report(status, limits);
}

plait::Docs docs_of(const Array& offsets, const Array& docs, int64_t ntokens) {
    const auto starts = view<int64_t>(offsets, "offsets", 1);
    const auto chosen = view<uint32_t>(docs, "docs", 1);
    require(starts.rows >= 1, "offsets must have one entry more than there are documents, got none");
    return {starts.data, starts.rows - 1, ntokens, chosen.data, chosen.rows};
}

plait::Residuals residuals_of(const Array& codes, const Array& residuals, int64_t dim, int nbits) {
    require_dim(dim);
    require_nbits(nbits);
    const auto code = view<uint32_t>(codes, "codes", 1);
    const auto rows = view<uint8_t>(residuals, "residuals", 2);
    require_size("residuals", rows.rows, code.rows, "rows");
    require_size("residuals", rows.columns, (dim * nbits + 7) / 8, "bytes in a row");
    return {code.data, rows.data, code.rows, dim, nbits};
}

size_t extent(int64_t value) { return static_cast<size_t>(value); }

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
                          const Array& centroids8, const Array& scales, const Array& offsets, int64_t nprobe) {
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
    bool ascending = groups.data[0] == 0 && groups.data[heads.rows] == centroids.rows;
    for (int64_t group = 0; group < heads.rows; ++group)
        ascending = ascending && groups.data[group] < groups.data[group + 1];
    require(ascending, "group_offsets must ascend from 0 to the number of centroids, and no group may be empty");
    Result<uint32_t> codes(v.rows);
    plait::AssignGroupedArgs args{v.data,     v.rows,      heads.data, head.data, heads.rows, centroids.data,
                                  scale.data, groups.data, nprobe,     v.columns, codes.data()};
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
    const uint8_t* allow = nullptr;
    if (allowed) {
        const auto flags = view<uint8_t>(*allowed, "allowed", 1);
        require_size("allowed", flags.rows, ndocs, "entries");
        allow = flags.data;
    }
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

nb::object merge_tokens(const Kernels& kernels, const Array& query, double similarity) {
    const auto q = view<float>(query, "query", 2);
    require_dim(q.columns);
    Result<float> merged(q.rows * q.columns);
    plait::MergeTokensArgs args{q.data, q.rows, q.columns, static_cast<float>(similarity), merged.data(), 0};
    call(kernels.merge_tokens, args, {});
    return merged.release({extent(args.found), extent(q.columns)});
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

// Documents in lists: u16 [n], u8 [n, 3] or u32 [n].
struct Listed {
    const uint8_t* data;
    int64_t count;
    int nbytes;
};

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
    const uint8_t* allow = nullptr;
    if (allowed) {
        const auto flags = view<uint8_t>(*allowed, "allowed", 1);
        require_size("allowed", flags.rows, ndocs, "entries");
        allow = flags.data;
    }
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
    const uint8_t* allow = nullptr;
    if (mask) {
        const auto flags = view<uint8_t>(*mask, "mask", 1);
        require_size("mask", flags.rows, lengths.rows, "entries");
        allow = flags.data;
    }
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

nb::list available_isas() {
    nb::list names;
    int count;
    const Kernels* const* list = plait::available_kernels(count);
    for (int i = 0; i < count; ++i) names.append(list[i]->name);
    return names;
}

const Kernels& kernels_of(const char* isa) {
    int count;
    const Kernels* const* list = plait::available_kernels(count);
    std::string names;
    for (int i = 0; i < count; ++i) {
        if (!std::strcmp(list[i]->name, isa)) return *list[i];
        names += std::string(i ? ", " : "") + list[i]->name;
    }
    refuse("this machine cannot run the kernels for " + std::string(isa) + "; it can run: " + names);
}

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
    const uint8_t* allow = nullptr;
    if (allowed) {
        const auto flags = view<uint8_t>(*allowed, "allowed", 1);
        require_size("allowed", flags.rows, row.rows, "entries");
        allow = flags.data;
    }
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

NB_MODULE(_native, m) {
    using nb::arg;
    m.doc() = "Native kernels. plait.kernels.reference says what each computes.";
    m.def("available_isas", &available_isas, "Instruction sets that this machine can run, slowest first.");
    m.def("kernels", &kernels_of, arg("isa"), nb::rv_policy::reference, "The kernels compiled for an instruction set.");
    nb::class_<Kernels>(m, "Kernels", "The kernels compiled for one instruction set.")
        .def_prop_ro("isa", [](const Kernels& kernels) { return kernels.name; })
        .def("maxsim", &maxsim, arg("query"), arg("vectors"), arg("offsets"), arg("docs"))
        .def("maxsim_codes", &maxsim_codes, arg("query8"), arg("lane_weights"), arg("table"), arg("shift"),
             arg("levels"), arg("nbits"), arg("codes"), arg("residuals"), arg("scales"), arg("offsets"), arg("docs"))
        .def("approximate", &approximate, arg("table"), arg("lane_weights"), arg("codes"), arg("offsets"), arg("docs"))
        .def("centroid_scores", &centroid_scores, arg("query8"), arg("centroids8"), arg("row_scale"))
        .def("assign", &assign, arg("vectors"), arg("centroids8"), arg("scales"))
        .def("assign_grouped", &assign_grouped, arg("vectors"), arg("heads8"), arg("head_scale"), arg("centroids8"),
             arg("scales"), arg("group_offsets"), arg("nprobe"))
        .def("sum_by_centroid", &sum_by_centroid, arg("vectors"), arg("codes"), arg("ncentroids"))
        .def("compress", &compress, arg("vectors"), arg("centroids"), arg("codes"), arg("cutoffs"), arg("nbits"))
        .def("decompress", &decompress, arg("codes"), arg("residuals"), arg("centroids"), arg("weights"), arg("nbits"))
        .def("inverse_norms", &inverse_norms, arg("codes"), arg("residuals"), arg("centroids"), arg("weights"),
             arg("nbits"))
        .def("top_centroids", &top_centroids, arg("table"), arg("nq"), arg("nprobe"))
        .def("gather", &gather, arg("table"), arg("probes"), arg("lane_weights"), arg("ivf_offsets"),
             arg("ivf_pids"), arg("allowed").none(), arg("ndocs"))
        .def("top_k", &top_k, arg("scores"), arg("k"))
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
             arg("centroid_scales"), arg("sigma"), arg("bits"), arg("gain_values"), arg("offsets"), arg("docs"))
        .def("rotate", &rotate, arg("vectors"), arg("rotation"))
        .def("merge_tokens", &merge_tokens, arg("query"), arg("similarity"))
        .def("top_rows", &top_rows, arg("query"), arg("probes"), arg("group_offsets"), arg("rows8"),
             arg("row_scales"), arg("count"))
        .def("gather_top", &gather_top, arg("lists"), arg("gains"), arg("list_offsets"), arg("list_docs"),
             arg("allowed").none(), arg("ndocs"), arg("count"))
        .def("invert", &invert, arg("codes"), arg("offsets"), arg("nlists"), arg("nbytes"))
        .def("top_pooled", &top_pooled, arg("query"), arg("query_scale"), arg("rows"), arg("scales"),
             arg("allowed").none(), arg("count"))
        .def("top_bm25", &top_bm25, arg("docs"), arg("tfs"), arg("doclens"), arg("block_tfs"), arg("block_doclens"),
             arg("begins"), arg("ends"), arg("blocks"), arg("weights"), arg("k1"), arg("b"), arg("average"),
             arg("mask").none(), arg("k"), arg("floor") = 0.0f)
        .def("count_alive", &count_alive, arg("docs"), arg("begin"), arg("end"), arg("alive"))
        .def("find_terms", &find_terms, arg("blob"), arg("ends"), arg("terms"));
}
