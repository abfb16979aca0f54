#include "api.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace plait {
namespace {

#if defined(__aarch64__)
bool has_dot_product() {
#if defined(__linux__)
    constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP of <asm/hwcap.h>
    return getauxval(AT_HWCAP) & kAsimdDp;
#else
    return true;  // every Apple processor
#endif
}
#endif

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
#elif defined(__aarch64__)
        if (has_dot_product()) list[count++] = &neon::kernels;
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
