#define PLAIT_ISA avx2
#define PLAIT_VNNI 0
#include "../simd_avx2.h"
#include "../levels.h"
#include "../table.h"
