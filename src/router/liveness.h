// Liveness: whether a gateway still does its work. One that was not heard of for a third of the
// time that it may be silent is asked for a sign of life; one that gives none in the rest of that
// time is silent, and is to be replaced, because its clients would hear nothing for ever.
//
// Time in which the hub itself stood still (a debugger, a stopped process, a paused machine) says
// nothing about the gateway: a look that comes late asks again.
#pragma once
#include "core/fence.h"

#include <cstdint>
#include <optional>

namespace rtd {

class Liveness {
  public:
    enum class Verdict : uint8_t { alive, ask, silent };

    // A sign of life: it was started, it sent something, it took something.
    void heard(int64_t now_ms) {
        heard_ms_ = now_ms;
        asked_ms_.reset();
    }

    // `patience_ms` is how long it may be silent; 0: for ever. After `ask` the caller asks it.
    Verdict look(int64_t now_ms, int64_t patience_ms) {
        std::optional<int64_t> due = next_look_ms(patience_ms);
        if (!due || now_ms < *due)
            return Verdict::alive;
        if (asked_ms_ && now_ms - *due <= patience_ms / kLateShare)
            return Verdict::silent;
        asked_ms_ = now_ms;
        return Verdict::ask;
    }

    std::optional<int64_t> next_look_ms(int64_t patience_ms) const {
        if (patience_ms == 0)
            return std::nullopt;
        int64_t quiet_ms = patience_ms / kQuietShare;
        return asked_ms_ ? *asked_ms_ + patience_ms - quiet_ms : heard_ms_ + quiet_ms;
    }

  private:
    static constexpr int64_t kQuietShare = 3; // of the patience, until it is asked
    static constexpr int64_t kLateShare = 6;  // by more than this the hub itself stood still

    int64_t heard_ms_ = 0;
    std::optional<int64_t> asked_ms_; // and not heard of since
};

} // namespace rtd
