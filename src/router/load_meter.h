// LoadMeter: whether events come so fast that waiting a moment, for several at once, saves more
// than it costs: every sleep of the hub in between would cost a committing backend a signal.
#pragma once
#include "core/fence.h"

#include <cstdint>

namespace rtd {

class LoadMeter {
  public:
    void count(int64_t now_ms, uint64_t events) {
        int64_t window = now_ms / kWindowMs;
        if (window != window_)
            previous_ = window == window_ + 1 ? current_ : 0;
        if (window != window_)
            current_ = 0;
        window_ = window;
        current_ += events;
    }

    bool is_busy(int64_t now_ms) const {
        int64_t age = now_ms / kWindowMs - window_;
        return age == 0 ? current_ >= kBusyEvents || previous_ >= kBusyEvents
                        : age == 1 && current_ >= kBusyEvents;
    }

  private:
    static constexpr int64_t kWindowMs = 8;
    static constexpr uint64_t kBusyEvents = 32; // four in a millisecond, the shortest wait

    int64_t window_ = 0;
    uint64_t current_ = 0;
    uint64_t previous_ = 0;
};

} // namespace rtd
