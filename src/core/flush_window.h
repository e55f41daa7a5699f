// FlushWindow: when messages may go out next. What has come meanwhile goes out in one write per
// client, so a busy gateway gains by letting messages wait for each other: after a flush the next
// one waits for a quarter of the time that one took. An idle gateway waits for nothing: by the time
// the next message comes, the window is over. A longer window saves more CPU, but is felt: with
// one as long as the flush, a gateway that was half busy had a p99 half as long again.
#pragma once
#include "core/fence.h"

#include <algorithm>
#include <cstdint>

namespace rtd {

class FlushWindow {
  public:
    // A flush may take long because the machine is busy with something else.
    static constexpr uint64_t kMaxUs = 20'000;
    static constexpr uint64_t kPart = 4;

    // Microseconds until the next flush may begin, on the clock that flushed() is told.
    uint64_t wait_us(uint64_t now_us) const { return now_us < end_us_ ? end_us_ - now_us : 0; }
    void flushed(uint64_t begin_us, uint64_t now_us) {
        end_us_ = now_us + std::min((now_us - begin_us) / kPart, kMaxUs);
    }

  private:
    uint64_t end_us_ = 0;
};

} // namespace rtd
