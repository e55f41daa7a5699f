#include "pg/interest.h"

#include "pg/prelude.h"

extern "C" {
#include "port/atomics.h"
}

namespace rtd::pg {

namespace {

constexpr uint32_t kSlots = 1u << 16; // a power of two; 1 MB of shared memory
constexpr uint32_t kMaxProbes = 256;  // how far a key may lie from its home slot

// A slot keeps its key until the hub gives it to another one. Its state is one word, so that a
// backend can mark it and be sure that it is still the slot it looked at: generation (32 bits,
// another one for every key), the mark (1 bit), and the count (31 bits).
struct Slot {
    pg_atomic_uint64 key; // 0: never used, which ends a search
    pg_atomic_uint64 state;
};

constexpr uint64_t kCountMask = (1ULL << 31) - 1;
constexpr uint64_t kChanged = 1ULL << 31;
constexpr uint64_t kGeneration = 1ULL << 32;

Slot *slots = nullptr;

Slot *find(uint64_t key) {
    for (uint32_t i = 0; i < kMaxProbes; i++) {
        Slot *slot = &slots[(key + i) & (kSlots - 1)];
        uint64_t found = pg_atomic_read_u64(&slot->key);
        if (found == key)
            return slot;
        if (found == 0)
            return nullptr;
    }
    return nullptr;
}

uint32_t count_of(uint64_t state) {
    return static_cast<uint32_t>(state & kCountMask);
}

} // namespace

size_t interest_shared_size() {
    return kSlots * sizeof(Slot);
}

void init_interest(void *memory, bool found) {
    slots = static_cast<Slot *>(memory);
    if (found)
        return;
    for (uint32_t i = 0; i < kSlots; i++) {
        pg_atomic_init_u64(&slots[i].key, 0);
        pg_atomic_init_u64(&slots[i].state, 0);
    }
}

uint32_t subscriber_count(uint64_t key) {
    if (slots == nullptr)
        return 0;
    Slot *slot = find(key);
    return slot != nullptr ? count_of(pg_atomic_read_u64(&slot->state)) : 0;
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
        if (pg_atomic_read_u64(&slot->key) != key || count_of(state) == 0)
            return false;
        // Even a mark that is found set takes an exchange: it is the full barrier that orders "we
        // are visible" before "the hub had not cleared it yet".
        bool was_marked = (state & kChanged) != 0;
        if (pg_atomic_compare_exchange_u64(&slot->state, &state, state | kChanged))
            return !was_marked;
    }
}

bool add_interest(uint64_t key) {
    Slot *slot = find(key);
    if (slot != nullptr) {
        pg_atomic_fetch_add_u64(&slot->state, 1); // a full barrier: see the header's promise
        return true;
    }
    for (uint32_t i = 0; i < kMaxProbes; i++) {
        slot = &slots[(key + i) & (kSlots - 1)];
        uint64_t state = pg_atomic_read_u64(&slot->state);
        if (count_of(state) > 0)
            continue;
        pg_atomic_write_u64(&slot->key, key);
        pg_write_barrier();
        uint64_t generation = (state / kGeneration + 1) * kGeneration;
        pg_atomic_exchange_u64(&slot->state, generation | 1);
        return true;
    }
    return false;
}

void remove_interest(uint64_t key) {
    Slot *slot = find(key);
    Assert(slot != nullptr && count_of(pg_atomic_read_u64(&slot->state)) > 0);
    pg_atomic_fetch_sub_u64(&slot->state, 1);
}

void clear_changed(uint64_t key) {
    Slot *slot = find(key);
    if (slot != nullptr)
        pg_atomic_fetch_and_u64(&slot->state, ~kChanged);
}

void clear_interest() {
    for (uint32_t i = 0; i < kSlots; i++)
        pg_atomic_fetch_and_u64(&slots[i].state, ~(kChanged | kCountMask));
}

} // namespace rtd::pg
