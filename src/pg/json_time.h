// Times in payloads: ISO 8601, UTC, microseconds, offset; always the same width. Called inside
// call(), like every server function.
#pragma once
#include "core/fence.h"

#include "pg/prelude.h"

extern "C" {
#include "lib/stringinfo.h"
}

namespace rtd::pg {

inline void append_json_timestamp(StringInfo json, TimestampTz now) {
    pg_tm time;
    fsec_t microseconds;
    if (timestamp2tm(now, nullptr, &time, &microseconds, nullptr, nullptr) != 0)
        elog(ERROR, "timestamp out of range");
    appendStringInfo(json, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00\"", time.tm_year,
                     time.tm_mon, time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec,
                     static_cast<int>(microseconds));
}

} // namespace rtd::pg
