#include "pg/shared/event_queue.h"

#include <algorithm>
#include <utility>

#include "pg/server/settings.h"
#include "pg/shared/shared_state.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

struct RecordHeader {
    uint64_t commit_lsn;
    uint32_t size; // of the event's bytes, which follow
    uint32_t has_commit_record;
};

// head and tail count bytes since the last restart from zero; the ring holds [head, tail).
struct Ring {
    uint64_t head;
    uint64_t tail;
    uint64_t capacity;
    LostEvents lost;          // since the last drain
    pg_atomic_uint32 waiting; // 1 if there is something to drain; readable without the lock
    alignas(8) char bytes[FLEXIBLE_ARRAY_MEMBER];
};

// One piece of a drain, so that the lock is not held for long.
constexpr uint64_t kBlockBytes = 1 << 16;

Ring *ring = nullptr;

void copy_in(const void *data, uint64_t size) {
    uint64_t at = ring->tail % ring->capacity;
    uint64_t first = Min(size, ring->capacity - at);
    memcpy(ring->bytes + at, data, first);
    memcpy(ring->bytes, static_cast<const char *>(data) + first, size - first);
    ring->tail += size;
}

void copy_out(void *data, uint64_t size) {
    uint64_t at = ring->head % ring->capacity;
    uint64_t first = Min(size, ring->capacity - at);
    memcpy(data, ring->bytes + at, first);
    memcpy(static_cast<char *>(data) + first, ring->bytes, size - first);
    ring->head += size;
}

} // namespace

void LostEvents::add(uint64_t topic_key) {
    count++;
    if (concerns(topic_key))
        return;
    if (topic_count == kMaxTopics)
        of_any_topic = true;
    else
        topics[topic_count++] = topic_key;
}

bool LostEvents::concerns(uint64_t topic_key) const {
    return of_any_topic ||
           std::find(topics, topics + topic_count, topic_key) != topics + topic_count;
}

size_t event_queue_shared_size() {
    return offsetof(Ring, bytes) + static_cast<size_t>(queue_kilobytes) * 1024;
}

void init_event_queue(void *memory, bool found) {
    ring = static_cast<Ring *>(memory);
    if (found)
        return;
    memset(ring, 0, offsetof(Ring, waiting));
    ring->capacity = static_cast<uint64_t>(queue_kilobytes) * 1024;
    pg_atomic_init_u32(&ring->waiting, 0);
}

void lock_event_queue() {
    LWLockAcquire(shared->queue_lock, LW_EXCLUSIVE);
}

void append_event(std::string_view bytes, uint64_t topic_key, CommitPosition position) {
    RecordHeader header{position.lsn, static_cast<uint32_t>(bytes.size()), position.has_record};
    if (ring->capacity - (ring->tail - ring->head) < sizeof header + bytes.size()) {
        ring->lost.add(topic_key);
    } else {
        copy_in(&header, sizeof header);
        copy_in(bytes.data(), bytes.size());
    }
    pg_atomic_write_u32(&ring->waiting, 1);
}

void unlock_event_queue() {
    LWLockRelease(shared->queue_lock);
}

namespace {

// Copies whole records out as one block under the lock; they are taken apart after it, because
// allocation may fail and must not do so while the lock is held. Returns the bytes used. 0 with
// `wanted` set: the next record needs a larger block.
uint64_t copy_block(std::string &block, uint64_t *wanted, LostEvents *lost, bool *more) {
    uint64_t used = 0;
    *wanted = 0;
    LWLockAcquire(shared->queue_lock, LW_EXCLUSIVE);
    while (ring->head < ring->tail) {
        uint64_t start = ring->head;
        RecordHeader header;
        copy_out(&header, sizeof header);
        uint64_t size = sizeof header + header.size;
        ring->head = start;
        if (used + size > block.size()) {
            if (used == 0)
                *wanted = size;
            break;
        }
        copy_out(block.data() + used, size);
        used += size;
    }
    *more = ring->head < ring->tail;
    if (!*more) {
        // Losses are younger than everything that found room.
        *lost = ring->lost;
        ring->lost = {};
        ring->head = ring->tail = 0;
        pg_atomic_write_u32(&ring->waiting, 0);
    }
    LWLockRelease(shared->queue_lock);
    return used;
}

} // namespace

void publish_now(std::string_view bytes, uint64_t topic_key) {
    lock_event_queue();
    append_event(bytes, topic_key, {GetXLogInsertRecPtr(), false});
    unlock_event_queue();
    wake_hub_if_it_sleeps();
}

DrainedEvents drain_events(std::string &block, bool *more) {
    DrainedEvents drained;
    if (block.size() != kBlockBytes) {
        block.resize(kBlockBytes);
        block.shrink_to_fit(); // after a record that was larger
    }
    // What was there at the beginning is at most a whole ring.
    *more = true;
    for (uint64_t taken = 0; *more && taken < ring->capacity;) {
        uint64_t wanted = 0;
        uint64_t used = copy_block(block, &wanted, &drained.lost, more);
        if (wanted > 0)
            block.resize(wanted);
        taken += used;
        for (uint64_t at = 0; at < used;) {
            RecordHeader header;
            memcpy(&header, block.data() + at, sizeof header);
            at += sizeof header;
            drained.events.push_back({{header.commit_lsn, header.has_commit_record != 0},
                                      block.substr(at, header.size)});
            at += header.size;
        }
    }
    // What was lost before the last of these must be known with them: they may be its effects.
    if (*more) {
        lock_event_queue();
        drained.lost = std::exchange(ring->lost, {});
        unlock_event_queue();
    }
    return drained;
}

bool event_queue_is_empty() {
    return pg_atomic_read_u32(&ring->waiting) == 0;
}

} // namespace rtd::pg
