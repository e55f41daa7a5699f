#include "pg/interest.h"

#include "pg/prelude.h"

extern "C" {
#include "port/atomics.h"
}

namespace rtd::pg {

namespace {

constexpr uint32_t kSlots = 1u << 16; // a power of two; 1 MB of shared memory
constexpr uint32_t kMaxProbes = 256;  // how far a key may lie from its home slot

struct Slot {
    pg_atomic_uint64 key; // 0: never used, which ends a search
    pg_atomic_uint32 count;
};

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
        pg_atomic_init_u32(&slots[i].count, 0);
    }
}

uint32_t subscriber_count(uint64_t key) {
    if (slots == nullptr)
        return 0;
    Slot *slot = find(key);
    return slot != nullptr ? pg_atomic_read_u32(&slot->count) : 0;
}

bool add_interest(uint64_t key) {
    Slot *slot = find(key);
    if (slot == nullptr) {
        for (uint32_t i = 0; i < kMaxProbes && slot == nullptr; i++) {
            Slot *candidate = &slots[(key + i) & (kSlots - 1)];
            if (pg_atomic_read_u32(&candidate->count) == 0)
                slot = candidate;
        }
        if (slot == nullptr)
            return false;
        pg_atomic_write_u64(&slot->key, key);
    }
    pg_atomic_fetch_add_u32(&slot->count, 1); // a full barrier: see the header's promise
    return true;
}

void remove_interest(uint64_t key) {
    Slot *slot = find(key);
    Assert(slot != nullptr && pg_atomic_read_u32(&slot->count) > 0);
    pg_atomic_fetch_sub_u32(&slot->count, 1);
}

void clear_interest() {
    for (uint32_t i = 0; i < kSlots; i++)
        pg_atomic_write_u32(&slots[i].count, 0);
}

} // namespace rtd::pg
