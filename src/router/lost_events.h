// LostEvents: which events found no room, as far as subscribers must be told. Kept in shared
// memory, so it has no pointers, and the number of topics it tells apart is bounded.
#pragma once
#include "core/fence.h"

#include <algorithm>
#include <cstdint>

namespace rtd {

struct LostEvents {
    static constexpr uint32_t kMaxTopics = 64;
    uint64_t count;
    uint64_t up_to;    // the highest position of their commits; 0: none has a place in their order
    bool of_any_topic; // there were more topics than could be noted
    uint32_t topic_count;
    uint64_t topics[kMaxTopics]; // keys

    void add(uint64_t topic_key, uint64_t commit_lsn = 0) {
        count++;
        up_to = std::max(up_to, commit_lsn);
        note(topic_key);
    }

    void add(const LostEvents &others) {
        count += others.count;
        up_to = std::max(up_to, others.up_to);
        of_any_topic = of_any_topic || others.of_any_topic;
        for (uint32_t i = 0; i < others.topic_count; i++)
            note(others.topics[i]);
    }

    bool concerns(uint64_t topic_key) const {
        return of_any_topic ||
               std::find(topics, topics + topic_count, topic_key) != topics + topic_count;
    }

  private:
    void note(uint64_t topic_key) {
        if (concerns(topic_key))
            return;
        if (topic_count == kMaxTopics)
            of_any_topic = true;
        else
            topics[topic_count++] = topic_key;
    }
};

} // namespace rtd
