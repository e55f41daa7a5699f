// Pending events of the running transaction, in a backend.
//
// Triggers and functions add events here; a rolled back savepoint takes its events along, and the
// commit callback appends what is left to the event queue and wakes the hub if it sleeps. Encoding
// and memory allocation happen when an event is added, where an error is still an ordinary one: the
// commit callback only copies bytes, since nothing may fail after a commit.
//
// A transaction that only says that states changed has no place in the order of commits to keep:
// the query that follows sees it in any case. It neither announces itself nor asks for its
// position.
#pragma once
#include "router/event.h"
#include "router/transaction_events.h"

namespace rtd::pg {

// Registers the transaction callbacks. Called once per backend, from _PG_init.
void init_pending_events();

// True if the hub can be reached from this backend. If not, warns once per session (with a hint)
// and returns false; callers then do nothing, so that writes go on.
bool hub_is_reachable();

// Adds an event to the current subtransaction. Beyond rtd.max_transaction_events of one topic the
// topic's events give way to one that says they are lost, so that a transaction of any size keeps
// its session's memory and the queue small.
void add_pending(const Event &event, Delivery delivery);
// The same for one that is added often, by the name of its topic.
void add_pending(const PreparedEvent &event, const std::string &topic, Delivery delivery);

// Instead of events of a topic that could not be made, whatever the topic is: all its states are
// queried, and subscribers of an event topic get a gap.
void add_lost(const std::string &topic, const std::string &reason);

// For events that need no repetition within a transaction ("instance X changed"): true if an equal
// one is already pending in this subtransaction or one of its parents. `key` is interest_key-like:
// callers hash topic and parameters, wildcards included. Also true if all of the topic with the key
// `topic` changed already: then there is no end of keys to remember.
bool collapse_pending(uint64_t key, uint64_t topic = 0);

// Appends an event to the queue at once, whatever becomes of the transaction.
void publish_now(const Event &event, Delivery delivery);

// Makes query workers forget their plans after this transaction commits, before the queries that
// the events after it cause.
void note_definitions_moved();
// Makes the hub reload topics, grants and channels after this transaction commits.
void note_catalog_change();

} // namespace rtd::pg
