#include "gateway/session/send_queue.h"

#include <algorithm>
#include <cassert>

namespace rtd {

namespace {

constexpr uint64_t kOfNoSubscription = 0;

} // namespace

bool SendQueue::push(WireMessagePtr message, uint64_t subscription, QueuePolicy policy,
                     uint64_t max_bytes_behind) {
    size_t begin = 0;
    size_t end = message->size();
    if (!empty() && policy == QueuePolicy::limit &&
        limited_bytes_behind_first() + end > max_bytes_behind)
        return false;
    if (!empty() && policy == QueuePolicy::replace &&
        bytes_behind_first() + end > max_bytes_behind) {
        begin = message->last_begin();
        dropped_ += message->count() - 1;
        dropped_ += drop_if([&](const Entry &entry) {
            return entry.policy == QueuePolicy::replace && entry.subscription == subscription;
        });
    }
    insert(entries_.end(), {std::move(message), begin, end, subscription, policy});
    return true;
}

void SendQueue::push_control(std::string frame) {
    size_t size = frame.size();
    auto message = std::make_shared<const WireMessage>(std::move(frame));
    Entry control{std::move(message), 0, size, kOfNoSubscription, QueuePolicy::keep, true};
    if (!has_begun_)
        return insert(first(), std::move(control));

    Entry rest = *first();
    rest.begin = rest.message->break_after(rest.begin);
    rest.policy = QueuePolicy::keep; // it has been accepted, and must not count as waiting behind
    shorten(*first(), first()->begin, rest.begin);
    if (rest.size() > 0)
        insert(first() + 1, rest);
    insert(first() + 1, std::move(control));
    tidy();
}

void SendQueue::insert(Entries::iterator place, Entry entry) {
    waiting_bytes_ += entry.size();
    limited_bytes_ += entry.limited();
    waiting_controls_ += entry.is_control;
    entries_.insert(place, std::move(entry));
}

void SendQueue::shorten(Entry &entry, size_t begin, size_t end) {
    waiting_bytes_ -= entry.size();
    limited_bytes_ -= entry.limited();
    entry.begin = begin;
    entry.end = end;
    waiting_bytes_ += entry.size();
    limited_bytes_ += entry.limited();
}

template <class Condition> size_t SendQueue::drop_if(Condition condition) {
    size_t count = 0;
    auto end =
        std::remove_if(first() + (has_begun_ ? 1 : 0), entries_.end(), [&](const Entry &entry) {
            if (!condition(entry))
                return false;
            count += entry.begin == 0 ? entry.message->count() : 1;
            waiting_bytes_ -= entry.size();
            limited_bytes_ -= entry.limited();
            return true;
        });
    entries_.erase(end, entries_.end());
    return count;
}

void SendQueue::drop(uint64_t subscription) {
    dropped_ += drop_if([&](const Entry &entry) { return entry.subscription == subscription; });
}

void SendQueue::cut() {
    drop_if([](const Entry &) { return true; });
    if (has_begun_)
        shorten(*first(), first()->begin, first()->message->break_after(first()->begin));
    tidy();
}

void SendQueue::pop(size_t bytes) {
    while (bytes > 0) {
        assert(!empty());
        Entry &entry = *first();
        size_t part = std::min(bytes, entry.size());
        shorten(entry, entry.begin + part, entry.end);
        bytes -= part;
        has_begun_ = true;
        tidy();
    }
}

// Entries at the front that have been sent are forgotten.
void SendQueue::tidy() {
    while (!empty() && first()->size() == 0) {
        waiting_controls_ -= first()->is_control;
        first()->message.reset();
        head_++;
        has_begun_ = false;
    }
    if (empty()) {
        entries_.clear();
        head_ = 0;
    } else if (head_ > entries_.size() / 2) { // at most as much moving as there was pushing
        entries_.erase(entries_.begin(), first());
        head_ = 0;
    }
}

void SendQueue::clear() {
    entries_ = {};
    head_ = 0;
    has_begun_ = false;
    waiting_bytes_ = 0;
    limited_bytes_ = 0;
    waiting_controls_ = 0;
}

} // namespace rtd
