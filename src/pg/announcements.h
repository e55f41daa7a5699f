// Announcements: the shared memory of core/commit_order.h. One slot per backend, each in a cache
// line of its own, written by its backend and read by the hub, without a lock.
//
// A slot holds a position in the WAL that the backend's running commit cannot precede, 0 for none.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>

namespace rtd::pg {

// Backend, before its transaction commits. May be repeated.
void announce_commit();
// Backend, after it published its events, or has none after all: on commit, abort and exit. False
// if there was no announcement. The hub may have waited for it: wake it up if it holds events.
bool withdraw_announcement();

// Hub: up to which position in the WAL everything has been published. To be asked before the event
// queue is drained, never after.
uint64_t published_up_to();

size_t announcements_shared_size();
void init_announcements(void *memory, bool found);

} // namespace rtd::pg
