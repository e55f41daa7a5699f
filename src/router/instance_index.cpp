// Which instances an event is for; the rules are in instance_index.h.
#include "router/instance_index.h"

#include <algorithm>

namespace rtd {

namespace {

uint64_t value_key(const std::string &topic, size_t position, const std::string &value) {
    return instance_key(topic, {std::to_string(position), value});
}

} // namespace

bool InstanceIndex::matches(const Event &event, const Instance &instance) {
    const std::vector<std::string> &params = instance.name();
    if (instance.topic().name != event.topic)
        return false;
    if (event.params.size() != params.size())
        return event.params.empty(); // a topic with parameters, an event without: all instances
    for (size_t i = 0; i < params.size(); i++)
        if (event.params[i] && *event.params[i] != params[i])
            return false;
    return true;
}

void InstanceIndex::put(Groups &groups, uint64_t key, Instance &instance) {
    groups[key].emplace(instance.id(), &instance);
}

void InstanceIndex::take(Groups &groups, uint64_t key, const Instance &instance) {
    auto found = groups.find(key);
    if (found != groups.end() && found->second.erase(instance.id()) > 0 && found->second.empty())
        groups.erase(found);
}

const InstanceIndex::Group &InstanceIndex::group(const Groups &groups, uint64_t key) {
    static const Group nobody;
    auto found = groups.find(key);
    return found != groups.end() ? found->second : nobody;
}

void InstanceIndex::add(Instance &instance) {
    const std::string &topic = instance.topic().name;
    by_name_[{topic, instance.name(), instance.identity()}] = &instance;
    put(by_params_, instance.key(), instance);
    put(by_topic_, topic_key(topic), instance);
    if (instance.name().size() > 1)
        for (size_t i = 0; i < instance.name().size(); i++)
            put(by_value_, value_key(topic, i, instance.name()[i]), instance);
}

void InstanceIndex::remove(Instance &instance) {
    const std::string &topic = instance.topic().name;
    by_name_.erase({topic, instance.name(), instance.identity()});
    take(by_params_, instance.key(), instance);
    take(by_topic_, topic_key(topic), instance);
    if (instance.name().size() > 1)
        for (size_t i = 0; i < instance.name().size(); i++)
            take(by_value_, value_key(topic, i, instance.name()[i]), instance);
}

Instance *InstanceIndex::find(const std::string &topic, const std::vector<std::string> &params,
                              const Identity &identity) const {
    auto found = by_name_.find({topic, params, identity});
    return found != by_name_.end() ? found->second : nullptr;
}

const InstanceIndex::Group &InstanceIndex::candidates(const Event &event) const {
    if (event.params.empty())
        return of_topic(event.topic);
    if (std::ranges::all_of(event.params, [](const auto &param) { return param.has_value(); }))
        return group(by_params_, interest_key(event));
    const Group *fewest = &of_topic(event.topic);
    for (size_t i = 0; i < event.params.size() && event.params.size() > 1; i++) {
        if (!event.params[i])
            continue;
        const Group &having = group(by_value_, value_key(event.topic, i, *event.params[i]));
        if (having.size() < fewest->size())
            fewest = &having;
    }
    return *fewest;
}

const InstanceIndex::Group &InstanceIndex::of_topic(const std::string &topic) const {
    return group(by_topic_, topic_key(topic));
}

} // namespace rtd
