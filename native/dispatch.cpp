#include "api.h"

namespace plait {
namespace {

struct Available {
    const Kernels* list[4];
    int count = 0;

    Available() {
        list[count++] = &scalar::kernels;
#if defined(__x86_64__)
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")))
            return;
        list[count++] = &avx2::kernels;
        if (__builtin_cpu_supports("avxvnni")) list[count++] = &avxvnni::kernels;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi"))
            list[count++] = &avx512::kernels;
#endif
    }
};

}  // namespace

const Kernels* const* available_kernels(int& count) {
    static const Available available;
    count = available.count;
    return available.list;
}

}  // namespace plait
