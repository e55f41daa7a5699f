// Coalescer: decides when an instance's query runs. Pure logic, the clock is passed in.
//
// A change makes the instance dirty. The run starts after `debounce` of quiet, but no later than
// ten times `debounce` after the first change, and at least `throttle` after the previous start: so
// the first change of a burst runs at once (leading edge) and the rest in one run at the end of the
// interval (trailing edge). Changes during a run make one next run.
//
// A failed run is repeated with a backoff from 1 s to 1 min. A change may have mended the query, so
// it ends the backoff, and so does a new subscriber; but not sooner than 1 s after the failure, so
// that neither a busy table nor a crowd of clients runs a failing query in a loop.
#pragma once
#include "core/backoff.h"
#include "core/fence.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace rtd {

// Why a query runs, in rising precedence: a run caused by several is labelled with the highest.
enum class Cause : uint8_t { sync, poll, event };

class Coalescer {
  public:
    Coalescer(int64_t throttle_ms, int64_t debounce_ms)
        : throttle_ms_(throttle_ms), debounce_ms_(debounce_ms) {}

    void changed(int64_t now_ms, Cause cause) {
        if (!dirty_) {
            dirty_ = true;
            first_change_ms_ = now_ms;
            cause_ = cause;
        }
        last_change_ms_ = now_ms;
        cause_ = std::max(cause_, cause);
        if (cause != Cause::poll) { // time alone mends nothing
            may_be_mended_ = true;
            hasten();
        }
    }
    // The next run does not wait longer than 1 s after the last failure.
    void hasten() { not_before_ms_ = std::min(not_before_ms_, failed_at_ms_ + kFirstBackoffMs); }

    // The next run has another reason than the changes so far.
    void relabel(Cause cause) { cause_ = cause; }

    // When the next run is due; nullopt while clean or running.
    std::optional<int64_t> due_ms() const {
        if (!dirty_ || running_)
            return std::nullopt;
        int64_t quiet = std::min(last_change_ms_ + debounce_ms_,
                                 first_change_ms_ + kDebounceBound * debounce_ms_);
        int64_t earliest = started_once_ ? last_start_ms_ + throttle_ms_ : quiet;
        return std::max({quiet, earliest, not_before_ms_});
    }

    Cause start(int64_t now_ms) {
        dirty_ = false;
        may_be_mended_ = false;
        running_ = true;
        started_once_ = true;
        last_start_ms_ = now_ms;
        return cause_;
    }

    void succeeded() {
        running_ = false;
        failures_ = 0;
        not_before_ms_ = 0;
    }

    // The run is owed again, for its `cause`. Returns in how many milliseconds it is due.
    int64_t failed(int64_t now_ms, Cause cause) {
        running_ = false;
        failed_at_ms_ = now_ms;
        not_before_ms_ = now_ms + backoff_ms(++failures_);
        if (may_be_mended_) // by a change that the run may not have seen
            hasten();
        // No change of its own: those it ran for have had their quiet time.
        cause_ = dirty_ ? std::max(cause_, cause) : cause;
        dirty_ = true;
        return *due_ms() - now_ms;
    }

    // The run waits for a lock: it is owed again, for its `cause`, and due as soon as its topic may
    // be tried.
    void gave_back(int64_t now_ms, Cause cause) {
        running_ = false;
        cause_ = dirty_ ? std::max(cause_, cause) : cause;
        if (!dirty_)
            first_change_ms_ = last_change_ms_ = now_ms - kDebounceBound * debounce_ms_;
        dirty_ = true;
    }

    // From now on. A run that is already owed follows the new ones too.
    void set_intervals(int64_t throttle_ms, int64_t debounce_ms) {
        throttle_ms_ = throttle_ms;
        debounce_ms_ = debounce_ms;
    }
    // The query or what it reads was altered: the next run does not wait for the backoff.
    void skip_backoff() { not_before_ms_ = 0; }

    bool running() const { return running_; }
    bool dirty() const { return dirty_; }

  private:
    static constexpr int64_t kDebounceBound = 10;

    int64_t throttle_ms_;
    int64_t debounce_ms_;
    int64_t first_change_ms_ = 0;
    int64_t last_change_ms_ = 0;
    int64_t last_start_ms_ = 0;
    int64_t not_before_ms_ = 0;
    int64_t failed_at_ms_ = 0;
    int failures_ = 0;
    Cause cause_ = Cause::sync;
    bool dirty_ = false;
    bool may_be_mended_ = false; // there was a change since the last start
    bool running_ = false;
    bool started_once_ = false;
};

} // namespace rtd
