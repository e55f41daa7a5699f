// Interest: how many subscribers each topic and instance has, whether it lingers after the last one
// left (see router/router.h), and whether a change of it is already known, in shared memory.
//
// A fixed open-addressing table, keys as in router/event.h. The hub counts; backends read without a
// lock, in their commit callback and when rtd_broadcast() counts its subscribers. A subscriber is
// counted before its first state is queried, and a backend looks after its transaction became
// visible, so nobody is missed.
//
// The mark "changed" spares writers and hub the repetition: the first change of a state sets it and
// is sent, the ones after it find it set and are not, until the hub clears it just before it runs
// the query. Whoever found it set was visible before the query's snapshot.
//
// Several instances may share a key: those of a topic whose security is `invoker`, one for each
// identity. Any of them clears the mark when its query starts. So a mark that is set was set after
// the last start of each of them, and the event that was sent for it makes, or will make, all of
// them query again: a change that finds it set is in all those snapshots.
#pragma once
#include "core/fence.h"
#include "router/router_host.h"

#include <cstddef>
#include <cstdint>

namespace rtd::pg {

// Backends: subscribers of the topic or instance with this key.
uint32_t subscriber_count(uint64_t key);
// Backends: must an event of it be made? Yes if somebody subscribes or it lingers.
bool has_interest(uint64_t key);
// Backends: marks it as changed. True if there is interest and it was not marked before: then an
// event must follow.
bool mark_changed(uint64_t key);

// Hub: one more, or one less. False if the table is full; it never is for a key that is counted.
bool add_interest(Interest interest, uint64_t key);
void remove_interest(Interest interest, uint64_t key);
// Hub, before a query starts.
void clear_changed(uint64_t key);
// Hub, at its start: nobody is subscribed.
void clear_interest();

size_t interest_shared_size();
void init_interest(void *memory, bool found);

} // namespace rtd::pg
