#define PLAIT_ISA neon
#include "../simd_neon.h"
#include "../levels.h"
#include "../table.h"
