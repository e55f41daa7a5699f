// LoadMeter: whether events come so fast that waiting a moment, for several at once, saves more
// than it costs: every sleep of the hub in between would cost a committing backend a signal.
#pragma once
#include "core/fence.h"

#include <algorithm>
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

    // How long to wait for more events instead of sleeping until the next one; 0 for not at all.
    // Every wait is a turn of the hub, of the gateways and of clients, which takes the processor
    // from those who write: the faster they are, the more a turn should bring.
    int64_t nap_ms(int64_t now_ms) const {
        uint64_t events = recent(now_ms);
        return events < kBusyEvents ? 0 : events < kVeryBusyEvents ? 1 : 2;
    }

  private:
    static constexpr int64_t kWindowMs = 8;
    static constexpr uint64_t kBusyEvents = 32; // four in a millisecond, the shortest wait
    static constexpr uint64_t kVeryBusyEvents = 128;

    uint64_t recent(int64_t now_ms) const {
        int64_t age = now_ms / kWindowMs - window_;
        return age == 0 ? std::max(current_, previous_) : age == 1 ? current_ : 0;
    }

    int64_t window_ = 0;
    uint64_t current_ = 0;
    uint64_t previous_ = 0;
};

} // namespace rtd
