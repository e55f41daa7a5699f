// Interest: how many subscribers each topic and instance has, in shared memory.
//
// A fixed open-addressing table of (key, count), keys as in core/event.h. The hub is the only
// writer; backends read without a lock in their commit callback and when rtd_broadcast() counts its
// subscribers. A slot keeps its key until the hub gives it to another one whose count rises, so a
// reader may see too many subscribers for an instant, never too few: a subscriber is counted before
// its first state is queried, and a backend looks after its transaction became visible.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>

namespace rtd::pg {

// Backends: subscribers of the topic or instance with this key.
uint32_t subscriber_count(uint64_t key);

// Hub: one more, or one less. False if the table is full: the subscription must be refused.
bool add_interest(uint64_t key);
void remove_interest(uint64_t key);
// Hub, at its start: nobody is subscribed.
void clear_interest();

size_t interest_shared_size();
void init_interest(void *memory, bool found);

} // namespace rtd::pg
