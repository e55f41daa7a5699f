// What a query worker does with rtd's own tables: messages to retain, durable messages, and
// notifications. Each job in transactions of its own; what fails is in the answer.
#pragma once
#include "pg/query/query_job.h"

namespace rtd::pg {

StoreDone run_store_job(const StoreRetained &job);
ReadRetainedDone run_store_job(const ReadRetained &job);
StoreNotificationsDone run_store_job(const StoreNotifications &job);
LogJobDone run_store_job(const RunLogJob &job);

} // namespace rtd::pg
