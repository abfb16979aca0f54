// What comes in from Python and goes back to it: arguments are checked here, so that a kernel may trust
// every size it is given. What lies inside the arrays (codes, offsets, pids) may come from a broken
// file and is checked by the kernels while they read it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <optional>
#include <string>
#include <type_traits>

#include "../api.h"

namespace bindings {

namespace nb = nanobind;
using nb::arg;
using plait::Kernels;
using plait::Status;
using Array = nb::ndarray<nb::ro>;
using Class = nb::class_<Kernels>;

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

std::string name_of(nb::dlpack::dtype type);

[[noreturn]] void refuse(const std::string& message);

void require(bool condition, const std::string& message);

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

void require_size(const char* name, int64_t got, int64_t expected, const char* meaning);
void require_dim(int64_t dim);
void require_nbits(int nbits);
// Of a table of scores: its columns, the query's tokens in them, and the weights of these.
void require_lanes(int64_t lanes, int64_t nq, int64_t weights);

// Flags u8 of what may be found, one for each of `count`; nullptr for all.
const uint8_t* flags_of(const std::optional<Array>& flags, const char* name, int64_t count);

plait::Docs docs_of(const Array& offsets, const Array& docs, int64_t ntokens);

// Documents in lists: u16 [n], u8 [n, 3] or u32 [n].
struct Listed {
    const uint8_t* data;
    int64_t count;
    int nbytes;
};

Listed listed_of(const Array& docs);

inline size_t extent(int64_t value) { return static_cast<size_t>(value); }

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

[[noreturn]] void report(const Status& status, const Limits& limits);

template <class Args>
void call(Status (*kernel)(Args&), std::remove_const_t<Args>& args, const Limits& limits) {
    Status status;
    {
        nb::gil_scoped_release release;
        status = kernel(args);
    }
    if (status.fault != plait::Fault::none) report(status, limits);
}

// What each file binds.
void bind_exact(Class& kernels);
void bind_centroids(Class& kernels);
void bind_residual(Class& kernels);
void bind_scaled(Class& kernels);
void bind_lists(Class& kernels);
void bind_pooled(Class& kernels);
void bind_bm25(Class& kernels);

}  // namespace bindings
