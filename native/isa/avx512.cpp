#define PLAIT_ISA avx512
#include "../simd_avx512.h"
#include "../levels_avx512.h"
#include "../table.h"
