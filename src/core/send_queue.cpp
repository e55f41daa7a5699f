#include "core/send_queue.h"

#include <algorithm>
#include <cassert>

namespace rtd {

bool SendQueue::push(WireMessagePtr message, uint64_t subscription, QueuePolicy policy,
                     uint64_t max_bytes_behind) {
    uint64_t bytes = message->size();
    if (!empty() && policy == QueuePolicy::limit &&
        limited_bytes_behind_first() + bytes > max_bytes_behind)
        return false;
    if (!empty() && policy == QueuePolicy::replace &&
        bytes_behind_first() + bytes > max_bytes_behind)
        dropped_ += drop_if([&](const Entry &entry) {
            return entry.policy == QueuePolicy::replace && entry.subscription == subscription;
        });
    entries_.push_back({std::move(message), subscription, policy});
    waiting_bytes_ += bytes;
    limited_bytes_ += limited_bytes(entries_.back());
    return true;
}

uint64_t SendQueue::bytes_behind_first() const {
    return waiting_bytes_ - (entries_[head_].message->size() - sent_);
}

uint64_t SendQueue::limited_bytes_behind_first() const {
    return limited_bytes_ - limited_bytes(entries_[head_]);
}

uint64_t SendQueue::limited_bytes(const Entry &entry) {
    return entry.policy == QueuePolicy::limit ? entry.message->size() : 0;
}

template <class Condition> size_t SendQueue::drop_if(Condition condition) {
    auto unbegun = entries_.begin() + static_cast<ptrdiff_t>(head_ + (sent_ > 0 ? 1 : 0));
    auto end = std::remove_if(unbegun, entries_.end(), [&](const Entry &entry) {
        if (!condition(entry))
            return false;
        waiting_bytes_ -= entry.message->size();
        limited_bytes_ -= limited_bytes(entry);
        return true;
    });
    size_t count = static_cast<size_t>(entries_.end() - end);
    entries_.erase(end, entries_.end());
    return count;
}

void SendQueue::drop(uint64_t subscription) {
    dropped_ += drop_if([&](const Entry &entry) { return entry.subscription == subscription; });
}

void SendQueue::drop_unbegun() {
    drop_if([](const Entry &) { return true; });
}

void SendQueue::pop() {
    assert(!empty());
    const Entry &first = entries_[head_];
    size_t bytes = front().size();
    sent_ += bytes;
    waiting_bytes_ -= bytes;
    if (sent_ < first.message->size())
        return;
    limited_bytes_ -= limited_bytes(first);
    sent_ = 0;
    entries_[head_++].message.reset();
    if (empty()) {
        entries_.clear();
        head_ = 0;
    } else if (head_ > entries_.size() / 2) { // at most as much moving as there was pushing
        entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(head_));
        head_ = 0;
    }
}

void SendQueue::clear() {
    entries_.clear();
    entries_.shrink_to_fit();
    head_ = 0;
    sent_ = 0;
    waiting_bytes_ = 0;
    limited_bytes_ = 0;
}

} // namespace rtd
