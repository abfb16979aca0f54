// What this processor can do at most, on one thread: multiply-adds of bytes from registers, and bytes read from memory.
// limits.py compiles and runs it. Prints "GOPS GB/s": two operations for each multiply-add.
#include <immintrin.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

#if defined(__AVX512VNNI__)
using Bytes = __m512i;
constexpr int kLanes = 64;
Bytes step(Bytes sum, Bytes a, Bytes b) { return _mm512_dpbusd_epi32(sum, a, b); }
#elif defined(__AVXVNNI__)
using Bytes = __m256i;
constexpr int kLanes = 32;
Bytes step(Bytes sum, Bytes a, Bytes b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
#else
using Bytes = __m256i;
constexpr int kLanes = 32;
Bytes step(Bytes sum, Bytes a, Bytes b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
}
#endif

// Sums with names of their own: gcc keeps an array of them in memory, which halves the figure.
double operations(int rounds) {
    constexpr int kSums = 10;  // more than latency times throughput, fewer than there are registers
    Bytes a{}, b{}, s0{}, s1{}, s2{}, s3{}, s4{}, s5{}, s6{}, s7{}, s8{}, s9{};
    const auto add = [&](Bytes& sum) {
        asm volatile("" : "+x"(a), "+x"(b));  // not known beforehand
        sum = step(sum, a, b);
        asm volatile("" : "+v"(sum));
    };
    const double start = cpu_seconds();
    for (int i = 0; i < rounds; ++i) {
        add(s0), add(s1), add(s2), add(s3), add(s4), add(s5), add(s6), add(s7), add(s8), add(s9);
    }
    const double took = cpu_seconds() - start;
    return 2.0 * kLanes * kSums * rounds / took;
}

double bytes_read(const std::uint64_t* data, std::size_t count) {
    std::uint64_t sums[8] = {};
    const double start = cpu_seconds();
    for (std::size_t i = 0; i < count; i += 8)
        for (int j = 0; j < 8; ++j) sums[j] += data[i + static_cast<std::size_t>(j)];
    const double took = cpu_seconds() - start;
    std::uint64_t sum = 0;
    for (const std::uint64_t part : sums) sum += part;
    asm volatile("" ::"r"(sum));
    return static_cast<double>(count * sizeof *data) / took;
}

}  // namespace

int main() {
    constexpr std::size_t kCount = std::size_t{1} << 26;  // half a gigabyte
    auto* data = static_cast<std::uint64_t*>(std::malloc(kCount * sizeof(std::uint64_t)));
    if (!data) return 1;
    std::memset(data, 1, kCount * sizeof *data);
    double most = 0, fastest = 0;
    for (int i = 0; i < 9; ++i) {
        const double now = operations(20'000'000 / 10), read = bytes_read(data, kCount);
        most = now > most ? now : most;
        fastest = read > fastest ? read : fastest;
    }
    std::printf("%.1f %.2f\n", most * 1e-9, fastest * 1e-9);
    std::free(data);
}
