#include "pg/shared/shared_state.h"

#include "pg/shared/announcements.h"
#include "pg/shared/event_queue.h"
#include "pg/shared/interest.h"

#include "pg/server/prelude.h"

extern "C" {
#include "storage/shmem.h"
}

namespace rtd::pg {

SharedState *shared = nullptr;

namespace {

shmem_request_hook_type previous_shmem_request = nullptr;
shmem_startup_hook_type previous_shmem_startup = nullptr;

constexpr char kTranche[] = "rtd";

void request_memory() {
    if (previous_shmem_request != nullptr)
        previous_shmem_request();
    RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)));
    RequestAddinShmemSpace(MAXALIGN(interest_shared_size()));
    RequestAddinShmemSpace(MAXALIGN(event_queue_shared_size()));
    RequestAddinShmemSpace(MAXALIGN(announcements_shared_size()));
    RequestNamedLWLockTranche(kTranche, 1);
}

void create_memory() {
    if (previous_shmem_startup != nullptr)
        previous_shmem_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    bool found = false;
    shared = static_cast<SharedState *>(ShmemInitStruct("rtd state", sizeof(SharedState), &found));
    if (!found) {
        memset(shared, 0, sizeof *shared);
        shared->queue_lock = &GetNamedLWLockTranche(kTranche)->lock;
        SpinLockInit(&shared->hub_lock);
        pg_atomic_init_u32(&shared->hub_sleeps, 0);
        pg_atomic_init_u32(&shared->hub_holds, 0);
        pg_atomic_init_u64(&shared->catalog_generation, 1);
        pg_atomic_init_u64(&shared->definition_generation, 1);
        pg_atomic_init_u64(&shared->next_probe, 0);
        pg_atomic_init_u64(&shared->finished_probe, 0);
        ConditionVariableInit(&shared->probe_finished);
    }
    void *interest = ShmemInitStruct("rtd interest", interest_shared_size(), &found);
    init_interest(interest, found);
    void *queue = ShmemInitStruct("rtd event queue", event_queue_shared_size(), &found);
    init_event_queue(queue, found);
    void *announcements = ShmemInitStruct("rtd announcements", announcements_shared_size(), &found);
    init_announcements(announcements, found);
    LWLockRelease(AddinShmemInitLock);
}

} // namespace

void request_shared_memory() {
    previous_shmem_request = shmem_request_hook;
    shmem_request_hook = request_memory;
    previous_shmem_startup = shmem_startup_hook;
    shmem_startup_hook = create_memory;
}

void wake_hub() {
    SpinLockAcquire(&shared->hub_lock);
    Latch *latch = shared->hub_latch;
    SpinLockRelease(&shared->hub_lock);
    // The latch belongs to a PGPROC, which outlives the process: at worst a stranger wakes up.
    if (latch != nullptr)
        SetLatch(latch);
}

void wake_hub_if_it_sleeps() {
    // The hub sets hub_sleeps, then looks whether there is something to do; we make something to
    // do, then look at hub_sleeps. The exchange is the full barrier between the two.
    if (pg_atomic_exchange_u32(&shared->hub_sleeps, 0) == 1)
        wake_hub();
}

} // namespace rtd::pg
