// Where in the ring of rtd_message's partitions a message goes. The ring is a clock: while one
// partition fills, six hold what is kept, and the next one is empty.
#pragma once
#include "core/fence.h"

#include "pg/server/settings.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

inline constexpr int kMessageSlots = 8; // partitions that the install script makes
inline constexpr int kSlotsPerRetention = 6;

inline int message_slot(TimestampTz time) {
    int64 width_us = int64{message_retention_s} * USECS_PER_SEC / kSlotsPerRetention;
    return static_cast<int>(time / width_us % kMessageSlots);
}

} // namespace rtd::pg
