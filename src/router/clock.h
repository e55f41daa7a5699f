// Time is passed in, never read, in core/: a Now is one reading of both clocks.
#pragma once
#include "core/fence.h"

#include <cstdint>

namespace rtd {

struct Now {
    int64_t steady_ms = 0; // monotonic milliseconds, for intervals
    int64_t wall_us = 0;   // microseconds since 1970-01-01 UTC, for timestamps
};

} // namespace rtd
