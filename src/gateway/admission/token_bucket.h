// TokenBucket: how often somebody may do something. One token a step, `rate` new ones a second, and
// a few seconds' worth in store: a page that opens asks for everything at once. Who goes on without
// a token gets into debt.
#pragma once
#include "core/fence.h"

#include <algorithm>
#include <cstdint>

namespace rtd {

class TokenBucket {
  public:
    enum class Answer { granted, refused, abused };

    static constexpr uint32_t kStoredSeconds = 4;

    // `rate` is per second and may change from call to call; 0 is no limit. `abused`: refused, with
    // a debt of more than a second's worth.
    Answer take(uint32_t rate, uint64_t now_ms) {
        if (rate == 0)
            return Answer::granted;
        double most = static_cast<double>(rate) * kStoredSeconds;
        double earned = static_cast<double>(now_ms - last_ms_) * rate / 1000;
        tokens_ = is_new_ ? most : std::min(most, tokens_ + earned);
        is_new_ = false;
        last_ms_ = now_ms;
        tokens_ -= 1;
        return tokens_ >= 0                            ? Answer::granted
               : tokens_ >= -static_cast<double>(rate) ? Answer::refused
                                                       : Answer::abused;
    }

  private:
    double tokens_ = 0;
    uint64_t last_ms_ = 0;
    bool is_new_ = true;
};

} // namespace rtd
