// Standing: where an instance stands in the queues of the router, which alone reads and writes it.
// It is kept in the instance itself: an event among many instances costs what it has to fetch from
// memory, so the one that found its instance looks up nothing more.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace rtd {

struct Standing {
    uint64_t told = 0;                  // up to this one of the wide events
    size_t kept_bytes = 0;              // as they are counted
    bool greets = false;                // it has a first message to send
    bool is_unstored = false;           // its retained message is to be stored
    bool wants_retained = false;        // its stored message is to be read
    std::optional<int64_t> deadline_ms; // when it wants to be called again
    std::optional<int64_t> left_ms;     // it lingers: when its last subscriber left
};

} // namespace rtd
