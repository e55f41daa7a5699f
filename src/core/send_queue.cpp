#include "core/send_queue.h"

#include <cassert>

namespace rtd {

bool SendQueue::push(MessagePtr message, link::TopicKind kind, uint64_t max_bytes_behind) {
    if (!empty() && bytes_behind_first() + message->size() > max_bytes_behind) {
        if (kind != link::TopicKind::state)
            return false;
        drop_unbegun();
    }
    waiting_bytes_ += message->size();
    messages_.push_back(std::move(message));
    return true;
}

uint64_t SendQueue::bytes_behind_first() const {
    return waiting_bytes_ - (messages_[head_]->size() - sent_);
}

void SendQueue::drop_unbegun() {
    size_t keep = head_ + (sent_ > 0 ? 1 : 0);
    for (size_t i = keep; i < messages_.size(); i++) {
        waiting_bytes_ -= messages_[i]->size();
        dropped_++;
    }
    messages_.resize(keep);
}

void SendQueue::pop() {
    assert(!empty());
    size_t frame_bytes = front().size();
    sent_ += frame_bytes;
    waiting_bytes_ -= frame_bytes;
    if (sent_ < messages_[head_]->size())
        return;
    sent_ = 0;
    messages_[head_++].reset();
    if (empty()) {
        messages_.clear();
        head_ = 0;
    } else if (head_ > messages_.size() / 2) { // at most as much moving as there was pushing
        messages_.erase(messages_.begin(), messages_.begin() + static_cast<ptrdiff_t>(head_));
        head_ = 0;
    }
}

void SendQueue::clear() {
    messages_.clear();
    messages_.shrink_to_fit();
    head_ = 0;
    sent_ = 0;
    waiting_bytes_ = 0;
}

} // namespace rtd
