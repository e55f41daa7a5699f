// Events for many instances; the rules are in wide_events.h.
#include "router/wide_events.h"

#include <algorithm>

namespace rtd {

namespace {

// Of one topic.
constexpr size_t kMostEvents = 256;
constexpr size_t kMostBytes = 4 << 20;
constexpr size_t kMostBytesOfAll = 32 << 20;

size_t bytes_of(const WideEvent &event) {
    return event.event.payload.size() + sizeof event;
}

} // namespace

bool WideEvents::has_equal(const WideEvent &event) const {
    auto found = topics_.find(topic_key(event.event.topic));
    if (found == topics_.end())
        return false;
    const WideEvent &last = found->second.events.back();
    return last.number > found->second.walk_to && last.loss.has_value() == event.loss.has_value() &&
           last.event.kind == event.event.kind && last.event.params == event.event.params &&
           last.event.key == event.event.key && last.event.version == event.event.version;
}

void WideEvents::add(WideEvent event) {
    uint64_t key = topic_key(event.event.topic);
    auto [found, is_new] = topics_.try_emplace(key);
    if (is_new)
        turns_.push_back(key);
    event.number = ++newest_;
    found->second.bytes += bytes_of(event);
    bytes_ += bytes_of(event);
    found->second.events.push_back(std::move(event));
}

bool WideEvents::is_full(uint64_t topic) const {
    auto found = topics_.find(topic);
    return found != topics_.end() && (found->second.events.size() > kMostEvents ||
                                      found->second.bytes > kMostBytes || bytes_ > kMostBytesOfAll);
}

// An event for the whole topic passes by everybody, who is told of all later ones by the way.
void WideEvents::begin_walk(Topic &topic, const InstanceIndex &index) {
    const Event &first = topic.events.front().event;
    index.candidates(first).each(
        [&](const Instance &instance) { topic.walk.push_back(instance.id()); });
    bool is_whole = std::ranges::none_of(first.params, [](const auto &p) { return p.has_value(); });
    topic.walk_to = (is_whole ? topic.events.back() : topic.events.front()).number;
}

void WideEvents::end_walk(Topic &topic) {
    while (!topic.events.empty() && topic.events.front().number <= topic.walk_to) {
        topic.bytes -= bytes_of(topic.events.front());
        bytes_ -= bytes_of(topic.events.front());
        topic.events.pop_front();
    }
    topic.walk.clear();
    topic.at = 0;
    topic.walk_to = 0;
}

std::optional<uint64_t> WideEvents::next_of(uint64_t key, const InstanceIndex &index) {
    auto found = topics_.find(key);
    if (found == topics_.end())
        return std::nullopt;
    Topic &topic = found->second;
    while (!topic.events.empty()) {
        if (topic.walk_to == 0)
            begin_walk(topic, index);
        if (topic.at < topic.walk.size())
            return topic.walk[topic.at++];
        end_walk(topic);
    }
    topics_.erase(found);
    return std::nullopt;
}

std::optional<uint64_t> WideEvents::next(const InstanceIndex &index) {
    while (!turns_.empty()) {
        uint64_t topic = turns_.front();
        turns_.pop_front();
        if (std::optional<uint64_t> instance = next_of(topic, index)) {
            turns_.push_back(topic);
            return instance;
        }
    }
    return std::nullopt;
}

} // namespace rtd
