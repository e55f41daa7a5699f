// The event queue: a ring of encoded events in shared memory, from all backends to the hub.
//
// Backends append in their commit callback, the hub drains; both under SharedState::queue_lock,
// which is held for a copy. An append that finds no room drops the event, counts it and marks the
// topic as lost: a commit never waits. When the hub has drained everything the ring starts at
// its first byte again, so that an idle queue touches little memory.
//
// Records leave in the order they came in, which is not the order of commits: a group commit wakes
// many backends at once. Each carries its CommitPosition, and router/commit_order.h does the rest.
#pragma once
#include "core/fence.h"
#include "router/commit_order.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::pg {

struct QueuedEvent {
    CommitPosition position;
    std::string bytes; // an encoded core Event
};

// Events that found no room. Kept in shared memory, so it has no pointers.
struct LostEvents {
    static constexpr uint32_t kMaxTopics = 64;
    uint64_t count;
    bool of_any_topic; // there were more topics than could be noted
    uint32_t topic_count;
    uint64_t topics[kMaxTopics]; // keys

    void add(uint64_t topic_key);
    bool concerns(uint64_t topic_key) const;
};

struct DrainedEvents {
    std::vector<QueuedEvent> events;
    LostEvents lost{}; // since the last call
};

size_t event_queue_shared_size();
void init_event_queue(void *memory, bool found);

// Backend: never fails, never allocates. A transaction's events are appended under one lock; the
// caller wakes the hub afterwards.
void lock_event_queue();
void append_event(std::string_view bytes, uint64_t topic_key, CommitPosition position);
void unlock_event_queue();

// Appends one event at once and wakes the hub, whatever becomes of the transaction.
void publish_now(std::string_view bytes, uint64_t topic_key);

// Hub: takes everything that was there when the call began, in pieces, so that the lock is never
// held for long; commit order rests on nothing being left behind. `more` says if something has come
// since. `buffer` is working space that the caller keeps between calls.
DrainedEvents drain_events(std::string &buffer, bool *more);
bool event_queue_is_empty();

} // namespace rtd::pg
