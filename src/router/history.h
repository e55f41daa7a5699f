// History: the last messages of an instance, for subscribers that come back. Bounded in messages
// and in bytes, the oldest go first. Messages are of one epoch and numbered without holes, so
// whoever names the last one it has either is told exactly what follows, or that it is too long
// ago; and their ids need not be kept.
#pragma once
#include "core/envelope.h"
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
    void add(MessageId id, std::string_view body, Bounds bounds) {
        if (id.epoch != epoch_ || id.sequence != newest_ + 1)
            clear();
        epoch_ = id.epoch;
        newest_ = id.sequence;
        if (bounds.messages == 0 || body.size() > bounds.bytes)
            return clear();
        use_places_again();
        bodies_.emplace_back(body);
        bytes_ += body.size();
        while (messages() > bounds.messages || bytes_ > bounds.bytes)
            drop_oldest();
    }

    // Is everything after the message `sequence` known? Also true if nothing came after it.
    bool covers(uint64_t sequence) const {
        return sequence <= newest_ && newest_ - sequence <= messages();
    }

    // Calls `take(const Sent &)` for every message after `sequence`, which must be covered.
    template <class Take> void replay(uint64_t sequence, Take take) const {
        for (uint64_t number = sequence + 1; number <= newest_; number++)
            take(
                Sent{message_id(epoch_, number), bodies_[bodies_.size() - 1 - (newest_ - number)]});
    }

    uint64_t newest() const { return newest_; } // its number; 0: there was none
    size_t messages() const { return bodies_.size() - dropped_; }
    size_t bytes() const { return bytes_; }

    // Has the memory fetched that the next message needs.
    void prefetch() const { __builtin_prefetch(bodies_.data() + bodies_.size(), 1); }

  private:
    void drop_oldest() { bytes_ -= std::exchange(bodies_[dropped_++], {}).size(); }
    // Of those that were dropped, before more memory is taken, if they are worth moving the others.
    void use_places_again() {
        if (bodies_.size() < bodies_.capacity() || kWorthMoving * dropped_ < bodies_.size())
            return;
        bodies_.erase(bodies_.begin(), bodies_.begin() + static_cast<ptrdiff_t>(dropped_));
        dropped_ = 0;
    }
    void clear() {
        bodies_ = {};
        bytes_ = dropped_ = 0;
    }

    static constexpr size_t kWorthMoving = 8; // at least one in so many was dropped

    // A vector takes only what it holds, and most instances have had few messages.
    std::vector<std::string> bodies_;
    size_t dropped_ = 0; // of those, from the first one on
    size_t bytes_ = 0;
    uint64_t epoch_ = 0; // of all of them
    uint64_t newest_ = 0;
};

} // namespace rtd
