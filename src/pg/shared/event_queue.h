// The event queue: a ring of encoded events in shared memory, from all backends to the hub.
//
// Backends reserve room for a transaction's events in their commit callback, under
// SharedState::queue_lock, fill it without the lock, and let the hub know; see router/event_ring.h.
// The lock is held for a few instructions, whatever the size. An event that finds no room is
// dropped, counted, and its topic marked as lost: a commit never waits. When the hub has drained
// everything the ring starts at its first byte again, so that an idle queue touches little memory.
//
// Events leave in the order in which their room was reserved, which is not the order of commits: a
// group commit wakes many backends at once. Each carries its CommitPosition, and
// router/commit_order.h does the rest.
//
// A backend that exits or fails between the two leaves a batch that is never filled; it abandons it
// where it withdraws its announcement. One that crashes takes the server's shared memory along.
#pragma once
#include "core/fence.h"
#include "router/commit_order.h"
#include "router/lost_events.h"
#include "router/transaction_events.h"

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

struct DrainedEvents {
    std::vector<QueuedEvent> events;
    LostEvents lost{}; // since the last call
};

size_t event_queue_shared_size();
void init_event_queue(void *memory, bool found);

// Backend: puts what is chosen of a transaction's events into the queue. Never fails, never
// allocates. The caller wakes the hub afterwards.
void queue_events(TransactionEvents &events, TransactionEvents::Chosen chosen,
                  CommitPosition position);
// Backend: what it reserved and did not fill, if anything, is lost. On abort; and on exit if that
// was asked for, which every backend does that has an event.
void abandon_reservation();
void leave_event_queue_on_exit();

// Appends one event at once and wakes the hub, whatever becomes of the transaction.
void publish_now(std::string_view bytes, uint64_t topic_key);

// Hub: takes everything that was there when the call began; commit order rests on nothing being
// left behind but what its writer still announces. `more` says if something has come since.
DrainedEvents drain_events(bool *more);
bool event_queue_is_empty();

} // namespace rtd::pg
