// FairDeadlines: when instances want to be called again, by topic, so that one topic with thousands
// that are due at once takes turns with the others.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rtd {

class FairDeadlines {
  public:
    // Replaces the instance's former deadline; nullopt: it has none.
    void set(uint64_t topic, uint64_t instance, std::optional<int64_t> before,
             std::optional<int64_t> after) {
        if (before == after)
            return;
        Waiting &waiting = topics_[topic];
        if (before)
            waiting.instances.erase({*before, instance});
        if (after)
            waiting.instances.insert({*after, instance});
        std::optional<int64_t> first;
        if (!waiting.instances.empty())
            first = waiting.instances.begin()->first;
        if (first != waiting.first) {
            if (waiting.first)
                order_.erase({*waiting.first, topic});
            if (first)
                order_.insert({*first, topic});
            waiting.first = first;
        }
        if (!first)
            topics_.erase(topic);
    }

    // nullopt: nobody waits. May lie in the past, if the last run_due() left something.
    std::optional<int64_t> next_ms() const {
        return order_.empty() ? std::nullopt : std::optional(order_.begin()->first);
    }

    // Calls `run` for instances that are due, the first ones first, but at most `most_per_topic` of
    // a topic. It may change any deadline.
    template <class Run> void run_due(int64_t now_ms, size_t most_per_topic, const Run &run) {
        std::vector<uint64_t> due;
        for (const auto &[at, topic] : order_) {
            if (at > now_ms)
                break;
            due.push_back(topic);
        }
        for (uint64_t topic : due)
            for (size_t n = 0; n < most_per_topic; n++) {
                auto waiting = topics_.find(topic);
                if (waiting == topics_.end() || *waiting->second.first > now_ms)
                    break;
                run(waiting->second.instances.begin()->second);
            }
    }

  private:
    struct Waiting {
        std::set<std::pair<int64_t, uint64_t>> instances; // (when, instance)
        std::optional<int64_t> first;
    };
    std::unordered_map<uint64_t, Waiting> topics_;
    std::set<std::pair<int64_t, uint64_t>> order_; // (when its first is due, topic)
};

} // namespace rtd
