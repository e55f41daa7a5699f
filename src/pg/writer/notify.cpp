// See notify.h. Asking how full the queue is takes the locks of every NOTIFY, so it is done once a
// second and after a few megabytes: many sessions together fill no more than that in between.
#include "pg/writer/notify.h"

#include <cstring>
#include <sstream>

#include "pg/server/boundary.h"
#include "pg/server/settings.h"
#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

extern "C" {
#include "commands/async.h"
#include "utils/fmgrprotos.h"
}

namespace rtd::pg {

namespace {

constexpr int64 kCheckIntervalUs = 1'000'000;
constexpr uint64 kCheckIntervalBytes = 1 << 20;
// Of one transaction, which keeps them in its session's memory until it commits.
constexpr uint64 kMostPendingBytes = 256 << 20;
constexpr uint64 kEntryBytes = 16; // what the queue adds to channel and payload

struct QueueWatch {
    TimestampTz transaction = 0; // its start
    uint64 pending_bytes = 0;    // notified by the transaction, not in the queue yet
    uint64 unchecked_bytes = 0;  // notified since usage was asked
    TimestampTz checked_at = 0;
    double usage = 0;
};

QueueWatch queue;

double usage_with(uint64 more_bytes) {
    return queue.usage +
           static_cast<double>(more_bytes) / static_cast<double>(RTD_NOTIFY_QUEUE_BYTES);
}

bool is_nearly_full(uint64 bytes) {
    if (queue.transaction != GetCurrentTransactionStartTimestamp()) {
        queue.transaction = GetCurrentTransactionStartTimestamp();
        queue.pending_bytes = 0;
    }
    TimestampTz now = GetCurrentTimestamp();
    if (queue.unchecked_bytes > kCheckIntervalBytes || now - queue.checked_at > kCheckIntervalUs) {
        queue.usage = call(
            [] { return DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, 0)); });
        queue.checked_at = now;
        queue.unchecked_bytes = 0;
    }
    return usage_with(queue.pending_bytes + bytes) > notification_queue_limit ||
           queue.pending_bytes + bytes > kMostPendingBytes;
}

void warn_once(const std::string &table, uint64 bytes) {
    static bool warned = false;
    if (warned)
        return;
    warned = true;
    std::ostringstream percent;
    percent.precision(2);
    percent << usage_with(queue.pending_bytes + bytes) * 100;
    warn(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
         "notifications of table \"" + table + "\" are left out: the server's notification queue " +
             (queue.pending_bytes + bytes > kMostPendingBytes
                  ? "would get too many of one transaction"
                  : "is " + percent.str() + " % full"),
         "Writes go on, and clients of rtd get their events. A full queue would fail every "
         "transaction that notifies.",
         "Look in pg_stat_activity for a session that LISTENs and has been in a transaction for "
         "long; rtd.notification_queue_limit says how full the queue may be.");
}

} // namespace

void notify(const std::string &channel, const char *payload, const std::string &table) {
    uint64 bytes = channel.size() + strlen(payload) + kEntryBytes;
    if (is_nearly_full(bytes))
        return warn_once(table, bytes);
    queue.pending_bytes += bytes;
    queue.unchecked_bytes += bytes;
    call([&] { Async_Notify(channel.c_str(), payload); });
}

} // namespace rtd::pg
