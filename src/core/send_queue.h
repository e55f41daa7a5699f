// SendQueue: the messages that wait for one client, and what happens when they are too many. The
// first one is on its way, whatever its size; what waits behind it is limited. Over the limit a
// topic of the kind state skips to its newest message; the other kinds may not lose any, so their
// client is too slow. A message that has begun to be sent is finished in any case.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "core/ws_frame.h"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace rtd {

class SendQueue {
  public:
    using MessagePtr = std::shared_ptr<const WsMessage>;

    // False if the client is too slow: `message` was not taken, and the queue is as it was.
    bool push(MessagePtr message, link::TopicKind kind, uint64_t max_bytes_behind);

    bool empty() const { return head_ == messages_.size(); }
    uint64_t waiting_bytes() const { return waiting_bytes_; }
    uint64_t dropped() const { return dropped_; }

    // The next frame to send, and what to say once it was sent. Not on an empty queue.
    std::string_view front() const { return messages_[head_]->frame_at(sent_); }
    void pop();

    void clear();

  private:
    uint64_t bytes_behind_first() const;
    void drop_unbegun();

    std::vector<MessagePtr> messages_; // those before head_ are gone; a deque costs 576 bytes empty
    size_t head_ = 0;
    size_t sent_ = 0; // bytes sent of the message at head_
    uint64_t waiting_bytes_ = 0;
    uint64_t dropped_ = 0;
};

} // namespace rtd
