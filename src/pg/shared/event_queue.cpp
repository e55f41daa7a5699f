#include "pg/shared/event_queue.h"

#include <utility>

#include "pg/server/settings.h"
#include "pg/shared/shared_state.h"
#include "router/event_ring.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/xlog.h"
#include "storage/ipc.h"
}

namespace rtd::pg {

namespace {

struct Queue {
    pg_atomic_uint32 waiting; // 1 if there is something to drain; readable without the lock
    alignas(PG_CACHE_LINE_SIZE) EventRing ring;
};

// How often a transaction that finds too little room is cut down to what there is.
constexpr int kTries = 4;

Queue *queue = nullptr;
constexpr uint64_t kNoBatch = UINT64_MAX;
uint64_t own_batch = kNoBatch; // that this backend reserved, and has not finished

uint64_t capacity() {
    return static_cast<uint64_t>(queue_kilobytes) * 1024;
}

template <class Body> auto with_lock(Body &&body) {
    LWLockAcquire(shared->queue_lock, LW_EXCLUSIVE);
    auto result = body();
    LWLockRelease(shared->queue_lock);
    return result;
}

void say_it_waits() {
    pg_atomic_write_u32(&queue->waiting, 1); // what it is about is seen before this
}

// Nothing is reserved if it returns false; `room` is what there was then.
bool reserve(uint64_t bytes, CommitPosition position, uint64_t *room) {
    return with_lock([&] {
        *room = queue->ring.room();
        return queue->ring.reserve(bytes, position, &own_batch);
    });
}

void finish(uint32_t events) {
    queue->ring.finish(std::exchange(own_batch, kNoBatch), events);
    pg_write_barrier();
    say_it_waits();
}

void lose(const LostEvents &events) {
    (void)with_lock([&] { return queue->ring.lose(events), true; });
    say_it_waits();
}

void abandon_on_exit(int, Datum) {
    abandon_reservation();
}

} // namespace

size_t event_queue_shared_size() {
    return sizeof(Queue) + capacity();
}

void init_event_queue(void *memory, bool found) {
    queue = static_cast<Queue *>(memory);
    if (found)
        return;
    pg_atomic_init_u32(&queue->waiting, 0);
    queue->ring.init(capacity());
}

// ---- backends ----

void queue_events(TransactionEvents &events, TransactionEvents::Chosen chosen,
                  CommitPosition position) {
    LostEvents lost{};
    uint64_t room = 0;
    bool is_reserved = false;
    for (int i = 0; i < kTries && chosen.events > 0 && !is_reserved; i++) {
        is_reserved = reserve(EventRing::batch_bytes(chosen.events, chosen.bytes), position, &room);
        if (!is_reserved)
            chosen = events.keep_what_has_room(i + 1 < kTries ? room : 0, EventRing::batch_bytes,
                                               position.lsn, lost);
    }
    // The hub learns of a loss no later than of what came after it.
    if (lost.count > 0)
        lose(lost);
    if (!is_reserved)
        return;
    EventRing::Writer writer(queue->ring, own_batch);
    events.each_chosen(
        [&](std::string_view bytes, bool is_ordered) { writer.add(bytes, is_ordered); });
    finish(chosen.events);
}

void leave_event_queue_on_exit() {
    static bool is_registered = false;
    if (!std::exchange(is_registered, true))
        on_shmem_exit(abandon_on_exit, 0);
}

void abandon_reservation() {
    if (own_batch == kNoBatch)
        return;
    queue->ring.abandon(std::exchange(own_batch, kNoBatch));
    pg_write_barrier();
    say_it_waits();
    wake_hub_if_it_sleeps();
}

// Nothing between reserving and finishing looks for interrupts, so none is taken there.
void publish_now(std::string_view bytes, uint64_t topic_key) {
    leave_event_queue_on_exit();
    CommitPosition position{GetXLogInsertRecPtr(), false};
    uint64_t room = 0;
    if (reserve(EventRing::batch_bytes(1, bytes.size()), position, &room)) {
        EventRing::Writer(queue->ring, own_batch).add(bytes, true);
        finish(1);
    } else {
        LostEvents lost{};
        lost.add(topic_key, position.lsn);
        lose(lost);
    }
    wake_hub_if_it_sleeps();
}

// ---- hub ----

DrainedEvents drain_events(bool *more) {
    static auto *reader = new EventRingReader(queue->ring); // for the life of the process
    DrainedEvents drained;
    // A full barrier: one that finishes after its batch was looked at says so again.
    pg_atomic_exchange_u32(&queue->waiting, 0);
    uint64_t taken = 0;
    auto sink = [&](CommitPosition position, std::string event) {
        taken += event.size();
        drained.events.push_back({position, std::move(event)});
    };
    auto give_back = [](auto free) { (void)with_lock([&] { return free(), true; }); };
    // What was there at the beginning is at most a whole ring.
    do {
        *more = with_lock([&] { return reader->begin(drained.lost); });
        reader->walk(drained.lost, sink, give_back);
    } while (*more && taken < capacity());
    *more = !event_queue_is_empty();
    return drained;
}

bool event_queue_is_empty() {
    return pg_atomic_read_u32(&queue->waiting) == 0;
}

} // namespace rtd::pg
