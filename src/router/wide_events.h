// WideEvents: events for more instances than are told at once. They wait, by topic, and the router
// tells a few instances in each of its turns, so that an event for all instances of one topic does
// not hold up the others.
//
// An instance may be asked for something before its turn comes: it is told first what waits for it.
// For that every event has a number, and every instance knows up to which one it was told; so it
// hears of events in their order, and of each once.
#pragma once
#include "core/fence.h"
#include "router/event.h"
#include "router/instance.h"
#include "router/instance_index.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtd {

struct WideEvent {
    Event event;
    std::optional<Loss> loss; // then only the event's topic counts
    uint64_t number = 0;
};

class WideEvents {
  public:
    bool empty() const { return topics_.empty(); }
    // An instance that is made now has nothing to hear of those up to here.
    uint64_t newest() const { return newest_; }

    // True if the newest event that waits for its topic is an equal one that nobody was told yet.
    bool has_equal(const WideEvent &event) const;
    void add(WideEvent event);
    // The topic's share of memory is full, or that of all: it must be told at once, with next_of().
    bool is_full(uint64_t topic) const;
    size_t bytes() const { return bytes_; } // of what waits

    // An instance to be told next, which may be gone; topics take turns. nullopt: none.
    std::optional<uint64_t> next(const InstanceIndex &index);
    std::optional<uint64_t> next_of(uint64_t topic, const InstanceIndex &index);

    // What waits for the topic since the event with that number.
    template <class Tell> void each_after(uint64_t topic, uint64_t number, const Tell &tell) const {
        auto found = topics_.find(topic);
        if (found == topics_.end())
            return;
        for (const WideEvent &event : found->second.events)
            if (event.number > number)
                tell(event);
    }

  private:
    struct Topic {
        std::deque<WideEvent> events; // by rising number
        size_t bytes = 0;
        std::vector<uint64_t> walk; // instances to be told
        size_t at = 0;              // of walk
        uint64_t walk_to = 0;       // they are told up to this event; 0: no walk has begun
    };

    static void begin_walk(Topic &topic, const InstanceIndex &index);
    void end_walk(Topic &topic);

    std::unordered_map<uint64_t, Topic> topics_; // by topic_key()
    std::deque<uint64_t> turns_;
    uint64_t newest_ = 0;
    size_t bytes_ = 0;
};

} // namespace rtd
