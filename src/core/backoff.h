// How long the next attempt waits: twice as long after every failure in a row.
#pragma once
#include "core/fence.h"

#include <algorithm>
#include <cstdint>

namespace rtd {

inline constexpr int64_t kFirstBackoffMs = 1000;
inline constexpr int64_t kLongestBackoffMs = 60'000;

// `failures` in a row: none wait for nothing, one for `first_ms`, and no number for more than
// `longest_ms`.
constexpr int64_t backoff_ms(int64_t failures, int64_t first_ms = kFirstBackoffMs,
                             int64_t longest_ms = kLongestBackoffMs) {
    constexpr int64_t kMostDoublings = 20; // no overflow for a first wait of days
    if (failures <= 0)
        return 0;
    return std::min(first_ms << std::min(failures - 1, kMostDoublings), longest_ms);
}

} // namespace rtd
