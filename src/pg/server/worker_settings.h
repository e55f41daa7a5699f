// The settings that hub and query workers depend on, whatever ALTER DATABASE, ALTER ROLE or
// postgresql.conf say.
#pragma once
#include "core/fence.h"

namespace rtd::pg {

// How long a statement on rtd's own tables waits for a lock: less than deadlock_timeout.
inline constexpr char kOwnLockTimeout[] = "200ms";

// Once, after the connection to the database. Later reloads do not change what is fixed here; what
// a topic query sets for its transaction comes on top.
void fix_worker_settings();
// For the hub besides: nothing it runs may wait for long, or start processes.
void fix_hub_settings();

} // namespace rtd::pg
