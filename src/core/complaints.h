// Complaints: what is to be logged of problems that come back. Each problem gets a line at once (or
// the first `most`), and then as many in an interval, with how many were left out. Pure logic.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace rtd {

class Complaints {
  public:
    static constexpr int64_t kIntervalMs = 10'000;
    static constexpr size_t kMostProblems = 1000; // beyond these all others are one

    // How many lines of this problem were left out since the last one; nullopt: this one is too.
    std::optional<uint64_t> admit(const std::string &problem, int64_t now_ms, uint64_t most = 1) {
        if (problems_.size() >= kMostProblems && !problems_.contains(problem))
            forget_quiet(now_ms);
        bool is_known = problems_.size() < kMostProblems || problems_.contains(problem);
        Problem &found = problems_[is_known ? problem : "other problems"];
        if (!found.since_ms || now_ms >= *found.since_ms + kIntervalMs) {
            found.since_ms = now_ms;
            found.lines = 0;
        }
        if (found.lines >= most) {
            found.left_out++;
            return std::nullopt;
        }
        found.lines++;
        return std::exchange(found.left_out, 0);
    }

  private:
    struct Problem {
        std::optional<int64_t> since_ms; // of the interval
        uint64_t lines = 0;              // in it
        uint64_t left_out = 0;
    };

    void forget_quiet(int64_t now_ms) {
        std::erase_if(problems_, [&](const auto &entry) {
            return now_ms >= *entry.second.since_ms + kIntervalMs;
        });
    }

    std::unordered_map<std::string, Problem> problems_;
};

} // namespace rtd
