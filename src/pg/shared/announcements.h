// Announcements: the shared memory of router/commit_order.h. One slot per backend, each in a cache
// line of its own, written by its backend and read by the hub, without a lock.
//
// A slot holds a position in the WAL that the backend's running commit cannot precede, 0 for none,
// and the number of its transaction, which tells a query whether it sees it.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>

#include "pg/server/prelude.h"

namespace rtd::pg {

// Backend, before its transaction commits. May be repeated.
void announce_commit();
// Backend, after it published its events, or has none after all: on commit, abort and exit. False
// if there was no announcement. The hub may have waited for it: wake it up if it holds events.
bool withdraw_announcement();

// Hub: up to which position in the WAL everything has been published. To be asked before the event
// queue is drained, never after.
uint64_t published_up_to();

// Hub: the process whose announcement is the lowest, that is, for whose commit the others wait; 0
// if there is none.
int first_announcer();

// Query worker: whether a transaction that the snapshot shows has not published its events yet.
// That takes it the time of a few instructions, in which it may lose its processor.
bool has_unpublished(Snapshot snapshot);

size_t announcements_shared_size();
void init_announcements(void *memory, bool found);

} // namespace rtd::pg
