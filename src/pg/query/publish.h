// A message that a client publishes: rtd_broadcast() in a transaction of a query worker, as the
// client's role, so that grants, limits and errors are those of SQL. The event then comes to the
// hub as every other.
#pragma once
#include "pg/query/query_job.h"

namespace rtd::pg {

PublishDone publish(const RunPublish &job);

} // namespace rtd::pg
