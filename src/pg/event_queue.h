// The event queue: a ring of encoded events in shared memory, from all backends to the hub.
//
// Backends append in their commit callback, the hub drains; both under SharedState::queue_lock,
// which is held for a copy. An append that finds no room drops the event, counts it and marks the
// queue as overflowed: a commit never waits. When the hub has drained everything the ring starts at
// its first byte again, so that an idle queue touches little memory.
//
// Every record carries the position in the WAL after the transaction's commit record. Today records
// leave in the order they came in; ordering by that position belongs here.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::pg {

struct QueuedEvent {
    uint64_t commit_lsn;
    std::string bytes; // an encoded core Event
};

struct DrainedEvents {
    std::vector<QueuedEvent> events;
    uint64_t dropped = 0; // events lost to overflow since the last call
};

size_t event_queue_shared_size();
void init_event_queue(void *memory, bool found);

// Backend: never fails, never allocates. A batch is appended under one lock: lock, append..., then
// unlock_event_queue() wakes the hub if it sleeps.
void lock_event_queue();
void append_event(std::string_view bytes, uint64_t commit_lsn);
void unlock_event_queue();

// Hub: takes what is there, up to a bound in bytes; `more` says if something was left. `buffer` is
// working space that the caller keeps between calls.
DrainedEvents drain_events(std::string &buffer, bool *more);
bool event_queue_is_empty();

} // namespace rtd::pg
