// AloneMessages: instances that exist only until their retained message is stored, because nobody
// subscribes to them. Whoever writes many values of a parameter makes one for each, so they are
// bounded: in number, by what is kept of the topic in any case, and in bytes. The oldest go first.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>

namespace rtd {

class AloneMessages {
  public:
    explicit AloneMessages(size_t most_bytes) : most_bytes_(most_bytes) {}

    // The instance's message is the newest now.
    void touch(uint64_t topic, uint64_t instance, size_t bytes) {
        remove(instance);
        Topic &of_topic = topics_[topic];
        of_topic.order.push_back(instance);
        of_topic.bytes += bytes;
        bytes_ += bytes;
        places_[instance] = {topic, bytes, std::prev(of_topic.order.end())};
    }

    // It is gone, or has company. One that is not there is left alone.
    void remove(uint64_t instance) {
        auto place = places_.find(instance);
        if (place == places_.end())
            return;
        auto of_topic = topics_.find(place->second.topic);
        of_topic->second.order.erase(place->second.at);
        of_topic->second.bytes -= place->second.bytes;
        bytes_ -= place->second.bytes;
        if (of_topic->second.order.empty())
            topics_.erase(of_topic);
        places_.erase(place);
    }

    // Which one goes first, if there are too many: of the topic, or, if all are too large, of the
    // topic that has the most bytes.
    std::optional<uint64_t> excess(uint64_t topic, size_t most) const {
        auto found = topics_.find(topic);
        if (found != topics_.end() && found->second.order.size() > most)
            return found->second.order.front();
        if (bytes_ <= most_bytes_)
            return std::nullopt;
        const Topic *largest = nullptr;
        for (const auto &[key, candidate] : topics_)
            if (largest == nullptr || candidate.bytes > largest->bytes)
                largest = &candidate;
        return largest->order.front();
    }

    size_t size() const { return places_.size(); }

  private:
    struct Topic {
        std::list<uint64_t> order; // the oldest first
        size_t bytes = 0;
    };
    struct Place {
        uint64_t topic = 0;
        size_t bytes = 0;
        std::list<uint64_t>::iterator at;
    };

    size_t most_bytes_;
    size_t bytes_ = 0;
    std::unordered_map<uint64_t, Topic> topics_;
    std::unordered_map<uint64_t, Place> places_; // by instance
};

} // namespace rtd
