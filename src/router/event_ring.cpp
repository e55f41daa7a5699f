// The memory of the event queue; the rules are in event_ring.h.
#include "router/event_ring.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace rtd {

void EventRing::init(uint64_t capacity) {
    head_ = tail_ = 0;
    capacity_ = capacity;
    lost_ = {};
}

bool EventRing::reserve(uint64_t bytes, CommitPosition position, uint64_t *at) {
    if (room() < bytes)
        return false;
    *at = tail_;
    auto *header = new (&header_of(tail_)) Header{};
    header->bytes = bytes;
    header->commit_lsn = position.lsn;
    header->has_commit_record = position.has_record;
    tail_ += bytes;
    return true;
}

void EventRing::Writer::add(std::string_view event, bool is_ordered) {
    Record record{static_cast<uint32_t>(event.size()), is_ordered};
    ring_.copy_in(at_, &record, sizeof record);
    ring_.copy_in(at_ + sizeof record, event.data(), event.size());
    at_ += sizeof record + event.size();
}

void EventRing::finish(uint64_t batch, uint32_t events) {
    Header &header = header_of(batch);
    header.events = events;
    header.state.store(State::finished, std::memory_order_release);
}

void EventRing::abandon(uint64_t batch) {
    header_of(batch).state.store(State::abandoned, std::memory_order_release);
}

void EventRing::copy_in(uint64_t at, const void *data, uint64_t size) {
    uint64_t place = at % capacity_;
    uint64_t first = std::min(size, capacity_ - place);
    memcpy(bytes() + place, data, first);
    memcpy(bytes(), static_cast<const char *>(data) + first, size - first);
}

void EventRing::copy_out(uint64_t at, void *data, uint64_t size) {
    uint64_t place = at % capacity_;
    uint64_t first = std::min(size, capacity_ - place);
    memcpy(data, bytes() + place, first);
    memcpy(static_cast<char *>(data) + first, bytes(), size - first);
}

// An empty ring starts at its first byte again, so that an idle queue touches little memory.
bool EventRingReader::begin(LostEvents &lost) {
    if (ring_.lost_.count > 0) {
        lost.add(ring_.lost_);
        ring_.lost_ = {};
    }
    if (!std::exchange(has_begun_, true))
        at_ = ring_.head_;
    ring_.head_ = free_end();
    if (ring_.head_ == ring_.tail_)
        ring_.head_ = ring_.tail_ = at_ = 0;
    end_ = ring_.tail_;
    return at_ < end_;
}

} // namespace rtd
