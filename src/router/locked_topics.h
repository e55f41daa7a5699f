// LockedTopics: topics whose query met a lock that somebody else holds. A query worker does not
// wait for it for long (pg/server/worker_settings.cpp): it gives the topic back, which then waits
// here without one and is tried again, with a backoff. All instances of a topic wait together,
// since most of them read the same tables.
#pragma once
#include "core/backoff.h"
#include "core/fence.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace rtd {

class LockedTopics {
  public:
    // One more run met a lock. Returns how many did in a row.
    int64_t add(const std::string &topic, int64_t now_ms) {
        Wait &wait = waits_[topic];
        wait.is_over = false;
        wait.until_ms = now_ms + backoff_ms(++wait.runs, kFirstMs, kLongestMs);
        return wait.runs;
    }
    // It is not locked: a run of it ended otherwise, or it was altered.
    void remove(const std::string &topic) { waits_.erase(topic); }
    bool empty() const { return waits_.empty(); }
    bool contains(const std::string &topic) const { return waits_.contains(topic); }

    std::optional<int64_t> next_deadline_ms() const {
        std::optional<int64_t> next;
        for (const auto &[topic, wait] : waits_)
            if (!wait.is_over)
                next = std::min(next.value_or(INT64_MAX), wait.until_ms);
        return next;
    }
    // Calls `take(const std::string &topic)` for each that is to be tried again.
    template <class Take> void take_due(int64_t now_ms, const Take &take) {
        for (auto &[topic, wait] : waits_) {
            if (wait.is_over || wait.until_ms > now_ms)
                continue;
            wait.is_over = true;
            take(topic);
        }
    }

  private:
    static constexpr int64_t kFirstMs = 200;
    static constexpr int64_t kLongestMs = 2000;

    struct Wait {
        int64_t until_ms = 0;
        int64_t runs = 0;     // that met the lock, in a row
        bool is_over = false; // it is tried again
    };

    std::unordered_map<std::string, Wait> waits_;
};

} // namespace rtd
