// Times in payloads: ISO 8601, UTC, microseconds, offset; always the same width. Called inside
// call(), like every server function.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

extern "C" {
#include "lib/stringinfo.h"
}

namespace rtd::pg {

// Digits by hand: a payload is built for every row, and snprintf() was a tenth of its cost.
inline void append_digits(StringInfo json, char before, int number, int width) {
    char text[8];
    for (int i = width; i > 0; i--, number /= 10)
        text[i] = static_cast<char>('0' + number % 10);
    text[0] = before;
    appendBinaryStringInfo(json, text, width + 1);
}

inline void append_json_timestamp(StringInfo json, TimestampTz now) {
    pg_tm time;
    fsec_t microseconds;
    if (timestamp2tm(now, nullptr, &time, &microseconds, nullptr, nullptr) != 0)
        elog(ERROR, "timestamp out of range");
    append_digits(json, '"', time.tm_year, 4);
    append_digits(json, '-', time.tm_mon, 2);
    append_digits(json, '-', time.tm_mday, 2);
    append_digits(json, 'T', time.tm_hour, 2);
    append_digits(json, ':', time.tm_min, 2);
    append_digits(json, ':', time.tm_sec, 2);
    append_digits(json, '.', microseconds, 6);
    appendStringInfoString(json, "+00:00\"");
}

} // namespace rtd::pg
