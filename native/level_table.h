// The levels of the scaled codec (src/plait/kernels/reference_scaled.py).
#pragma once

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

constexpr int8_t kLevels[] = {-63, -48, -37, -29, -22, -15, -9, -3, 3, 9, 15, 22, 29, 37, 48, 63,  // 4 bits
                              -35, -10, 10, 35,                                                   // 2 bits
                              -18, 18};                                                           // 1 bit
constexpr int kLevelZero = 64;

template <int kBits>
constexpr const int8_t* levels_of() {
    return kLevels + (kBits == 4 ? 0 : kBits == 2 ? 16 : 20);
}

// Levels around `zero`: of 4-bit buckets at 0, of 2-bit buckets at 16, of 1-bit buckets at 32.
struct LevelTable {
    uint8_t bytes[64] = {};

    explicit LevelTable(int zero) {
        for (int i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(levels_of<4>()[i] + zero);
        for (int i = 0; i < 4; ++i) bytes[16 + i] = static_cast<uint8_t>(levels_of<2>()[i] + zero);
        for (int i = 0; i < 2; ++i) bytes[32 + i] = static_cast<uint8_t>(levels_of<1>()[i] + zero);
    }
};

}  // namespace
}  // namespace plait::PLAIT_ISA
