// History: the last messages of an instance, for subscribers that come back. Bounded in messages
// and in bytes, the oldest go first. Messages are numbered without holes, so whoever names the last
// one it has either is told exactly what follows, or that it is too long ago.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace rtd {

// A message as clients get it.
struct Sent {
    std::string id;
    std::string body; // empty: none
};

class History {
  public:
    struct Bounds {
        size_t messages;
        size_t bytes;
    };

    // The instance's newest message. One that is larger than the bound leaves nothing to replay.
    void add(uint64_t sequence, const Sent &message, Bounds bounds) {
        if (sequence != newest_ + 1)
            clear();
        newest_ = sequence;
        if (bounds.messages == 0 || size_of(message) > bounds.bytes)
            return clear();
        messages_.push_back(message);
        bytes_ += size_of(message);
        while (messages_.size() > bounds.messages || bytes_ > bounds.bytes) {
            bytes_ -= size_of(messages_.front());
            messages_.pop_front();
        }
    }

    // Is everything after the message `sequence` known? Also true if nothing came after it.
    bool covers(uint64_t sequence) const {
        return sequence <= newest_ && newest_ - sequence <= messages_.size();
    }

    // Calls `take(const Sent &)` for every message after `sequence`, which must be covered.
    template <class Take> void replay(uint64_t sequence, Take take) const {
        for (size_t i = messages_.size() - (newest_ - sequence); i < messages_.size(); i++)
            take(messages_[i]);
    }

    uint64_t newest() const { return newest_; } // its number; 0: there was none
    size_t messages() const { return messages_.size(); }
    size_t bytes() const { return bytes_; }

  private:
    static size_t size_of(const Sent &message) { return message.id.size() + message.body.size(); }
    void clear() {
        messages_.clear();
        bytes_ = 0;
    }

    std::deque<Sent> messages_;
    size_t bytes_ = 0;
    uint64_t newest_ = 0;
};

} // namespace rtd
