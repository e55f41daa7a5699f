// SendQueue: what waits for one client, and what happens when it is too much. The first entry is
// on its way, whatever its size; what waits behind it is limited, by its policy:
//
//   replace  a state. Over the limit it takes the place of those older ones of its own instance
//            that have not begun to be sent, and of no other; so at most the newest state of each
//            instance waits beyond the limit.
//   limit    what may not be skipped. These have the limit for themselves, so that many states do
//            not make a client too slow for events.
//   keep     what is bounded elsewhere: first messages, replayed history, last words.
//
// The bytes are shared by all clients; an entry is a range of them, which is this client's cursor.
#pragma once
#include "core/fence.h"
#include "gateway/session/wire_message.h"

#include <cstdint>
#include <string>
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
    // Puts a control frame where the next one may be: before what has not begun, or in between the
    // frames of what has.
    void push_control(std::string frame);

    bool empty() const { return head_ == entries_.size(); }
    uint64_t waiting_bytes() const { return waiting_bytes_; }
    size_t waiting_controls() const { return waiting_controls_; }
    // How many messages were skipped.
    uint64_t dropped() const { return dropped_; }

    // Calls `take` with the pieces that come next, in order, until it returns false.
    template <class Take> void for_each_piece(Take take) const {
        for (size_t i = head_; i < entries_.size(); i++)
            if (!take(entries_[i].bytes()))
                return;
    }
    // That many bytes of them were sent.
    void pop(size_t bytes);

    // Drops what has not begun to be sent of one subscription, which goes on without it.
    void drop(uint64_t subscription);
    // Drops everything that need not be sent for what has begun to end well.
    void cut();
    void clear();

  private:
    struct Entry {
        WireMessagePtr message;
        size_t begin, end; // what is still to be sent
        uint64_t subscription;
        QueuePolicy policy;
        bool is_control = false;
        std::string_view bytes() const { return message->bytes().substr(begin, end - begin); }
        size_t size() const { return end - begin; }
        size_t limited() const { return policy == QueuePolicy::limit ? size() : 0; }
    };
    using Entries = std::vector<Entry>;

    uint64_t bytes_behind_first() const { return waiting_bytes_ - entries_[head_].size(); }
    uint64_t limited_bytes_behind_first() const {
        return limited_bytes_ - entries_[head_].limited();
    }
    Entries::iterator first() { return entries_.begin() + static_cast<ptrdiff_t>(head_); }
    void insert(Entries::iterator place, Entry entry);
    void shorten(Entry &entry, size_t begin, size_t end);
    template <class Condition> size_t drop_if(Condition condition);
    void tidy();

    Entries entries_; // those before head_ are gone; a deque costs 576 bytes empty
    size_t head_ = 0;
    bool has_begun_ = false; // part of the entry at head_ was sent
    uint64_t waiting_bytes_ = 0;
    uint64_t limited_bytes_ = 0; // of those under `limit`
    size_t waiting_controls_ = 0;
    uint64_t dropped_ = 0;
};

} // namespace rtd
