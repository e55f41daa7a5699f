#include "pg/shared/announcements.h"

#include <algorithm>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/xlog.h"
#include "port/atomics.h"
#include "storage/proc.h"
}

namespace rtd::pg {

namespace {

struct alignas(PG_CACHE_LINE_SIZE) Slot {
    pg_atomic_uint64 position;
    pg_atomic_uint32 xid; // of the same commit, written before it
};

Slot *slots = nullptr;
Slot *own = nullptr; // of this backend, once it has announced something

void withdraw_on_exit(int, Datum) {
    withdraw_announcement();
}

} // namespace

size_t announcements_shared_size() {
    return static_cast<size_t>(MaxBackends) * sizeof(Slot) + alignof(Slot);
}

void init_announcements(void *memory, bool found) {
    auto address = reinterpret_cast<uintptr_t>(memory);
    slots = reinterpret_cast<Slot *>(TYPEALIGN(alignof(Slot), address));
    if (found)
        return;
    for (int i = 0; i < MaxBackends; i++) {
        pg_atomic_init_u64(&slots[i].position, 0);
        pg_atomic_init_u32(&slots[i].xid, InvalidTransactionId);
    }
}

void announce_commit() {
    if (own == nullptr) {
        own = &slots[RTD_MY_PROC_NUMBER];
        on_shmem_exit(withdraw_on_exit, 0);
    }
    pg_atomic_write_u32(&own->xid, GetTopTransactionIdIfAny());
    pg_write_barrier();
    pg_atomic_write_u64(&own->position, GetXLogInsertRecPtr());
    // The commit record is inserted after this is seen: otherwise the hub could read a WAL end
    // beyond the record and no announcement.
    pg_memory_barrier();
}

bool withdraw_announcement() {
    if (own == nullptr || pg_atomic_read_u64(&own->position) == 0)
        return false;
    // The events are in the queue before this is seen.
    pg_memory_barrier();
    pg_atomic_write_u64(&own->position, 0);
    // The hub says that it holds events, then scans; we withdraw, then look at what it says.
    pg_memory_barrier();
    return true;
}

uint64_t published_up_to() {
    uint64_t bound = GetXLogInsertRecPtr();
    pg_memory_barrier();
    for (int i = 0; i < MaxBackends; i++) {
        uint64_t position = pg_atomic_read_u64(&slots[i].position);
        if (position != 0)
            bound = std::min(bound, position);
    }
    pg_memory_barrier();
    return bound;
}

int first_announcer() {
    uint64_t lowest = UINT64_MAX;
    int first = 0;
    for (int i = 0; i < MaxBackends; i++) {
        uint64_t position = pg_atomic_read_u64(&slots[i].position);
        if (position == 0 || position >= lowest)
            continue;
        lowest = position;
        first = GetPGProcByNumber(i)->pid; // may have ended by now, as any process that is named
    }
    return first;
}

bool has_unpublished(Snapshot snapshot) {
    for (int i = 0; i < MaxBackends; i++) {
        if (pg_atomic_read_u64(&slots[i].position) == 0)
            continue;
        // If this is the number of a later transaction of that backend, the one before published.
        pg_read_barrier();
        TransactionId xid = pg_atomic_read_u32(&slots[i].xid);
        if (TransactionIdIsNormal(xid) && !call([&] { return XidInMVCCSnapshot(xid, snapshot); }))
            return true;
    }
    pg_memory_barrier(); // what is published is read after this
    return false;
}

} // namespace rtd::pg
