// What query workers do with the table rtd_message for the hub; router/message_log.h says when.
//
// Numbering sees what the one before it committed, also if a worker of a hub that is gone did that,
// and is on disk before it is reported. Expiry empties a partition once its newest message is old
// enough; it takes no lock that a writer could wait for, and where somebody else holds one it gives
// up until the next time.
#pragma once
#include "core/fence.h"
#include "router/event.h"
#include "router/message_log.h"

#include <string>
#include <vector>

#include "pg/server/prelude.h"

namespace rtd::pg {

// `schema` is the extension's schema, quoted.

// Query worker: in transactions of its own.
LogOutcome run_log_job(const std::string &schema, const LogJob &job);

// Query worker, and the hub when it shuts down: writes what no backend's transaction can,
// notifications, in a transaction of its own and without waiting for the disk: they are sent after
// they were numbered, which does. Returns the events of kind `stored` that stand for them.
std::vector<Event> store_events(const std::string &schema, const std::vector<Event> &events);

} // namespace rtd::pg
