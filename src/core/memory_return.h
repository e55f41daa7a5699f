// MemoryReturn: when to ask the allocator for what it keeps of memory that was freed. After a crowd
// it would keep all that the crowd had. Asking costs milliseconds, so it is done when much was
// freed, and once more a while later, as long as what is in use still falls: between what was freed
// first, something is always still in use. Time is passed in; the unit is the caller's.
#pragma once
#include "core/fence.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace rtd {

class MemoryReturn {
  public:
    // `much` is worth it at once, `some` once it is quiet again.
    MemoryReturn(size_t much, size_t some) : much_(much), some_(some) {}

    // True: now. `used` is what is in use.
    bool is_due(size_t used, int64_t now_ms) {
        most_ = std::max(most_, used);
        size_t freed = most_ - used;
        bool is_late = again_ms_ != kNever && now_ms >= again_ms_;
        if (freed < much_ && !is_late)
            return false;
        again_ms_ = freed >= some_ ? now_ms + kPauseMs : kNever;
        most_ = used;
        return true;
    }

    // When to ask again at the latest.
    std::optional<int64_t> next_ms() const {
        return again_ms_ == kNever ? std::nullopt : std::optional(again_ms_);
    }

  private:
    static constexpr int64_t kPauseMs = 10'000;
    static constexpr int64_t kNever = INT64_MAX;

    size_t much_;
    size_t some_;
    size_t most_ = 0; // since it was due
    int64_t again_ms_ = kNever;
};

} // namespace rtd
