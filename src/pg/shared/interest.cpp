#include "pg/shared/interest.h"

#include <bit>

#include "pg/server/settings.h"

#include "pg/server/prelude.h"

extern "C" {
#include "port/atomics.h"
}

namespace rtd::pg {

namespace {

constexpr uint32_t kMaxProbes = 256; // how far a key may lie from its home slot

// A slot keeps its key until the hub gives it to another one. Its state is one word, so that a
// backend can mark it and be sure that it is still the slot it looked at: generation (21 bits,
// another one for every key), the mark (1 bit), instances that linger (18 bits: the router keeps
// fewer), and subscribers (24 bits).
struct Slot {
    pg_atomic_uint64 key; // 0: never used, which ends a search
    pg_atomic_uint64 state;
};

constexpr uint64_t kSubscriber = 1;
constexpr uint64_t kLingering = 1ULL << 24;
constexpr uint64_t kChanged = 1ULL << 42;
constexpr uint64_t kGeneration = 1ULL << 43;

Slot *slots = nullptr;

// Topics are counted too; and a table that is half empty is searched in a step or two.
uint32_t slot_count() {
    return std::bit_ceil(static_cast<uint32_t>(max_instances) * 2);
}

uint32_t slot_mask = 0; // their number, a power of two, less one

// The keys of parameters that look alike, as numbers do, have low bits that lie close together: all
// bits must count, or thousands of instances crowd into one stretch of a table that is nearly
// empty.
uint64_t home_of(uint64_t key) {
    key = (key ^ (key >> 32)) * 0x9E3779B97F4A7C15ULL;
    return key ^ (key >> 32);
}

Slot *find(uint64_t key) {
    for (uint32_t i = 0; i < kMaxProbes; i++) {
        Slot *slot = &slots[(home_of(key) + i) & slot_mask];
        uint64_t found = pg_atomic_read_u64(&slot->key);
        if (found == key)
            return slot;
        if (found == 0)
            return nullptr;
    }
    return nullptr;
}

uint64_t unit_of(Interest interest) {
    return interest == Interest::subscriber ? kSubscriber : kLingering;
}

bool is_counted(uint64_t state) {
    return (state & (kChanged - 1)) != 0;
}

uint64_t state_of(uint64_t key) {
    Slot *slot = slots != nullptr ? find(key) : nullptr;
    return slot != nullptr ? pg_atomic_read_u64(&slot->state) : 0;
}

} // namespace

size_t interest_shared_size() {
    return size_t{slot_count()} * sizeof(Slot);
}

void init_interest(void *memory, bool found) {
    slots = static_cast<Slot *>(memory);
    slot_mask = slot_count() - 1;
    if (found)
        return;
    for (uint32_t i = 0; i <= slot_mask; i++) {
        pg_atomic_init_u64(&slots[i].key, 0);
        pg_atomic_init_u64(&slots[i].state, 0);
    }
}

uint32_t subscriber_count(uint64_t key) {
    return static_cast<uint32_t>(state_of(key) & (kLingering - 1));
}

bool has_interest(uint64_t key) {
    return is_counted(state_of(key));
}

bool mark_changed(uint64_t key) {
    Slot *slot = find(key);
    if (slot == nullptr)
        return false;
    uint64_t state = pg_atomic_read_u64(&slot->state);
    while (true) {
        // The hub writes a new key before the new state. So if the key is still ours after the
        // state was read, the state was ours, and the exchange fails if it no longer is.
        pg_read_barrier();
        if (pg_atomic_read_u64(&slot->key) != key || !is_counted(state))
            return false;
        // Even a mark that is found set takes an exchange: it is the full barrier that orders "we
        // are visible" before "the hub had not cleared it yet".
        bool was_marked = (state & kChanged) != 0;
        if (pg_atomic_compare_exchange_u64(&slot->state, &state, state | kChanged))
            return !was_marked;
    }
}

bool add_interest(Interest interest, uint64_t key) {
    Slot *slot = find(key);
    if (slot != nullptr) {
        pg_atomic_fetch_add_u64(&slot->state,
                                unit_of(interest)); // a full barrier: see the header's promise
        return true;
    }
    for (uint32_t i = 0; i < kMaxProbes; i++) {
        slot = &slots[(home_of(key) + i) & slot_mask];
        uint64_t state = pg_atomic_read_u64(&slot->state);
        if (is_counted(state))
            continue;
        pg_atomic_write_u64(&slot->key, key);
        pg_write_barrier();
        uint64_t generation = (state / kGeneration + 1) * kGeneration;
        pg_atomic_exchange_u64(&slot->state, generation | unit_of(interest));
        return true;
    }
    return false;
}

void remove_interest(Interest interest, uint64_t key) {
    Slot *slot = find(key);
    Assert(slot != nullptr && is_counted(pg_atomic_read_u64(&slot->state)));
    pg_atomic_fetch_sub_u64(&slot->state, unit_of(interest));
}

void clear_changed(uint64_t key) {
    Slot *slot = find(key);
    if (slot != nullptr)
        pg_atomic_fetch_and_u64(&slot->state, ~kChanged);
}

void clear_interest() {
    for (uint32_t i = 0; i <= slot_mask; i++)
        pg_atomic_fetch_and_u64(&slots[i].state, ~(kGeneration - 1));
}

} // namespace rtd::pg
