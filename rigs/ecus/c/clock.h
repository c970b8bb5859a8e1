/* The device's clock, which a defective build runs fast: between it and the clock that the main is given. */
#ifndef CLOCK_H
#define CLOCK_H
#include "core.h"

static int64_t clock_zero_ns;

static inline int64_t device_ns(int64_t real_ns)
{
    return real_ns + (real_ns - clock_zero_ns) / 1000000 * CLOCK_PPM;
}

static inline int64_t real_ns(int64_t device_ns)
{
    return device_ns == NEVER ? NEVER : device_ns - (device_ns - clock_zero_ns) / (1000000 + CLOCK_PPM) * CLOCK_PPM;
}

#endif
