// SendQueue: the messages that wait for one client, and what happens when they are too many. The
// first one is on its way, whatever its size; what waits behind it is limited, by its policy:
//
//   replace  a state. Over the limit it takes the place of those older ones of its own instance
//            that have not begun to be sent, and of no other; so at most the newest state of each
//            instance waits beyond the limit.
//   limit    what may not be skipped. These have the limit for themselves, so that many states do
//            not make a client too slow for events.
//   keep     what is bounded elsewhere: first messages, replayed history, last words.
#pragma once
#include "core/fence.h"
#include "core/wire_message.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace rtd {

enum class QueuePolicy : uint8_t { replace, limit, keep };

class SendQueue {
  public:
    // `subscription` tells the messages of one instance from others. False if the client is too
    // slow: `message` was not taken, and the queue is as it was.
    bool push(WireMessagePtr message, uint64_t subscription, QueuePolicy policy,
              uint64_t max_bytes_behind);

    bool empty() const { return head_ == entries_.size(); }
    uint64_t waiting_bytes() const { return waiting_bytes_; }
    // How many messages were skipped.
    uint64_t dropped() const { return dropped_; }

    // The next piece to send, and what to say once it was sent. Not on an empty queue.
    std::string_view front() const { return entries_[head_].message->piece_at(sent_); }
    void pop();

    // Drops what has not begun to be sent: of one subscription that goes on without it, or all.
    void drop(uint64_t subscription);
    void drop_unbegun();
    void clear();

  private:
    struct Entry {
        WireMessagePtr message;
        uint64_t subscription;
        QueuePolicy policy;
    };
    uint64_t bytes_behind_first() const;
    uint64_t limited_bytes_behind_first() const;
    static uint64_t limited_bytes(const Entry &entry);
    template <class Condition> size_t drop_if(Condition condition);

    std::vector<Entry> entries_; // those before head_ are gone; a deque costs 576 bytes empty
    size_t head_ = 0;
    size_t sent_ = 0; // bytes sent of the message at head_
    uint64_t waiting_bytes_ = 0;
    uint64_t limited_bytes_ = 0; // of whole messages under `limit`, the begun one included
    uint64_t dropped_ = 0;
};

} // namespace rtd
