// ReadyQueue: instances whose query is due. Topics take turns, and within one the first comes
// first; so the next job is found without a look at those that must wait for their topic's turn.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

namespace rtd {

class ReadyQueue {
  public:
    void add(uint64_t topic, uint64_t instance) {
        Topic &waiting = topics_[topic];
        waiting.ready.push_back(instance);
        take_turns(topic, waiting);
    }

    // The next one, of a topic of which fewer than `most_per_topic` run; it runs until finished().
    // Those that `wants` refuses are forgotten.
    template <class Wants> std::optional<uint64_t> take(size_t most_per_topic, const Wants &wants) {
        while (!turns_.empty()) {
            uint64_t topic = turns_.front();
            turns_.pop_front();
            Topic &waiting = topics_.at(topic);
            waiting.has_turn = false;
            if (waiting.running >= most_per_topic)
                continue; // finished() gives it a turn again
            std::optional<uint64_t> next = take_wanted(waiting, wants);
            if (next)
                waiting.running++;
            take_turns(topic, waiting);
            drop_if_idle(topic);
            if (next)
                return next;
        }
        return std::nullopt;
    }

    void finished(uint64_t topic) {
        Topic &waiting = topics_.at(topic);
        waiting.running--;
        take_turns(topic, waiting);
        drop_if_idle(topic);
    }

  private:
    struct Topic {
        std::deque<uint64_t> ready;
        size_t running = 0;
        bool has_turn = false; // it is in turns_
    };

    template <class Wants>
    static std::optional<uint64_t> take_wanted(Topic &waiting, const Wants &wants) {
        while (!waiting.ready.empty()) {
            uint64_t instance = waiting.ready.front();
            waiting.ready.pop_front();
            if (wants(instance))
                return instance;
        }
        return std::nullopt;
    }
    void take_turns(uint64_t topic, Topic &waiting) {
        if (waiting.ready.empty() || waiting.has_turn)
            return;
        waiting.has_turn = true;
        turns_.push_back(topic);
    }
    void drop_if_idle(uint64_t topic) {
        auto found = topics_.find(topic);
        if (found->second.ready.empty() && found->second.running == 0 && !found->second.has_turn)
            topics_.erase(found);
    }

    std::unordered_map<uint64_t, Topic> topics_;
    std::deque<uint64_t> turns_;
};

} // namespace rtd
