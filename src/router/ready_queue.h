// ReadyQueue: instances whose query is due. Topics take turns, and within one the first comes
// first; so the next job is found without a look at those that must wait for their topic's turn.
//
// A topic whose query met a lock is held back for a while. Then one instance of it is tried, and
// not with the last worker that is free, until one ends otherwise: waits take no turn of others.
// Where there is one worker only, all others have their turn between two such tries.
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
    // Those that `wants` refuses are forgotten. `is_last`: it gets the last worker that is free, of
    // several; `is_only`: there is one.
    template <class Wants>
    std::optional<uint64_t> take(size_t most_per_topic, bool is_last, bool is_only,
                                 const Wants &wants) {
        if (is_only && others_first_ > 0) {
            others_first_--;
            if (std::optional<uint64_t> next = take_turn(most_per_topic, true, wants))
                return next;
            others_first_ = 0; // nobody else wants it
        }
        std::optional<uint64_t> next = take_turn(most_per_topic, is_last, wants);
        if (next && is_only && took_locked_)
            others_first_ = turns_.size();
        return next;
    }

    // One that runs met a lock: until release() none of the topic is taken.
    void hold(uint64_t topic) {
        Topic &waiting = topics_[topic];
        waiting.is_held = waiting.is_locked = true;
    }
    // One of the topic may be tried.
    void release(uint64_t topic) {
        Topic &waiting = topics_[topic];
        waiting.is_held = false;
        take_turns(topic, waiting);
        drop_if_idle(topic);
    }
    // There is no lock any more.
    void unlock(uint64_t topic) {
        auto found = topics_.find(topic);
        if (found == topics_.end())
            return;
        found->second.is_held = found->second.is_locked = false;
        take_turns(topic, found->second);
        drop_if_idle(topic);
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
        bool is_locked = false;
        bool is_held = false;
    };

    template <class Wants>
    std::optional<uint64_t> take_turn(size_t most_per_topic, bool no_locked, const Wants &wants) {
        for (size_t left = turns_.size(); left > 0; left--) {
            uint64_t topic = turns_.front();
            turns_.pop_front();
            Topic &waiting = topics_.at(topic);
            if (waiting.is_locked && no_locked && !waiting.is_held) {
                turns_.push_back(topic);
                continue;
            }
            waiting.has_turn = false;
            // finished() or release() gives it a turn again.
            if (waiting.is_held || waiting.running >= (waiting.is_locked ? 1 : most_per_topic))
                continue;
            std::optional<uint64_t> next = take_wanted(waiting, wants);
            if (next)
                waiting.running++;
            took_locked_ = waiting.is_locked;
            take_turns(topic, waiting);
            drop_if_idle(topic);
            if (next)
                return next;
        }
        return std::nullopt;
    }

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
        if (waiting.ready.empty() || waiting.has_turn || waiting.is_held)
            return;
        waiting.has_turn = true;
        turns_.push_back(topic);
    }
    void drop_if_idle(uint64_t topic) {
        auto found = topics_.find(topic);
        const Topic &topic_left = found->second;
        if (topic_left.ready.empty() && topic_left.running == 0 && !topic_left.has_turn &&
            !topic_left.is_locked)
            topics_.erase(found);
    }

    std::unordered_map<uint64_t, Topic> topics_;
    std::deque<uint64_t> turns_;
    bool took_locked_ = false; // the last one that was taken, of a topic that is
    size_t others_first_ = 0;  // turns before one of a locked topic is taken again
};

} // namespace rtd
