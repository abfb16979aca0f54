#define PLAIT_ISA avxvnni
#define PLAIT_VNNI 1
#include "../simd_avx2.h"
#include "../levels.h"
#include "../table.h"
