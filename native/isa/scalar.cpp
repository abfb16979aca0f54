#define PLAIT_ISA scalar
#include "../simd_scalar.h"
#include "../table.h"
