// The settings that hub and query workers depend on, whatever ALTER DATABASE, ALTER ROLE or
// postgresql.conf say.
#pragma once
#include "core/fence.h"

#include <string>

namespace rtd::pg {

// How long what runs in a worker waits for a lock, at most.
inline constexpr int kLockWaitMs = 200;
// The same of a query that has the last free worker while others are known to wait for locks.
inline constexpr int kShortLockWaitMs = 10;
// The same of the hub, where everybody waits for it.
inline constexpr int kHubLockWaitMs = 5;

// A value for lock_timeout: `most_ms`, or less where deadlock_timeout is short. A session and a
// worker may have locks that the other one waits for. Whoever finds that out loses, and the session
// looks when it has waited for deadlock_timeout: so the worker gives way well before that.
std::string lock_wait(int most_ms = kLockWaitMs);
// Somebody else's lock is the reason, which goes away.
bool is_of_lock(int sqlstate);

// Once, after the connection to the database. Later reloads do not change what is fixed here; what
// a topic query sets for its transaction comes on top.
void fix_worker_settings();
// For the hub besides: nothing it runs may wait for long, or start processes.
void fix_hub_settings();
// After every reload: how long each of the two waits follows deadlock_timeout.
void follow_deadlock_timeout(int lock_wait_ms = kLockWaitMs);

} // namespace rtd::pg
