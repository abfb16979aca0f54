#define PLAIT_ISA scalar
#include "../simd_scalar.h"
#include "../levels.h"
#include "../table.h"
