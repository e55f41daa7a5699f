// SharedState: what backends, hub and query workers share. Lives in the server's main shared
// memory, so a crash restart makes it anew. Each field names its writer and its lock.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

extern "C" {
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
}

namespace rtd::pg {

struct SharedState {
    // Where the event queue begins and ends. Held for a few instructions, and for no copy.
    LWLock *queue_lock;

    // Written by the hub under hub_lock: who serves, for which database. A backend reads pid and
    // database without the lock for its cheap "is there a hub" and takes it to set the latch.
    slock_t hub_lock;
    pid_t hub_pid; // 0: no hub
    Latch *hub_latch;
    Oid connected_database;      // what the hub is connected to: DROP DATABASE of it ends the hub
    Oid hub_database;            // what it serves: connected, and the extension exists
    pg_atomic_uint32 hub_sleeps; // 1 while the hub waits: only then it has to be woken
    pg_atomic_uint32 hub_holds;  // 1 while it holds events back for an announced commit
    uint32_t hub_failures;       // starts in a row that did not reach "ready"; for the backoff

    // Raised by every committed change of topics, grants or channels; compared by the hub.
    pg_atomic_uint64 catalog_generation;

    // Raised by every committed DDL that a topic's query may depend on; compared by query workers,
    // whose plans and column types are outdated then.
    pg_atomic_uint64 definition_generation;

    // Readiness probes: backends draw nonces, the hub reports the highest that came back through
    // event queue, LISTEN and gateway.
    pg_atomic_uint64 next_probe;
    pg_atomic_uint64 finished_probe;
    ConditionVariable probe_finished;
};

extern SharedState *shared; // nullptr where the library was not preloaded

// From _PG_init while preloading.
void request_shared_memory();

// Wakes the hub, if there is one.
void wake_hub();
// The same, but only if it sleeps: of many backends one wakes it.
void wake_hub_if_it_sleeps();

} // namespace rtd::pg
