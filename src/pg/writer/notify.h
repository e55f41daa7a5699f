// NOTIFY for the `channel` of a watch. Runs in the writer's backend. A NOTIFY fails the commit when
// the server's notification queue is full, and it is full for everybody; so a watch stops notifying
// before.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <string>

#include "pg/server/prelude.h"

namespace rtd::pg {

// Longest payload that Async_Notify() takes: NOTIFY_PAYLOAD_MAX_LENGTH - 1 of async.c.
inline constexpr size_t kMaxNotifyBytes = BLCKSZ - NAMEDATALEN - 128 - 1;

// `table` is for the warning that comes once per session when a notification is left out. `payload`
// has kMaxNotifyBytes at most.
void notify(const std::string &channel, const char *payload, const std::string &table);

} // namespace rtd::pg
