// Which instances an event is for; the rules are in instance_index.h.
#include "router/instance_index.h"

#include <algorithm>
#include <functional>

namespace rtd {

namespace {

uint64_t value_key(const std::string &topic, size_t position, const std::string &value) {
    return instance_key(topic, {std::to_string(position), value});
}

size_t hash_name(uint64_t key, const Identity &identity) {
    return key ^ (std::hash<std::string>()(identity.claims) + identity.role);
}

} // namespace

size_t InstanceIndex::HashName::operator()(const Name &name) const {
    return hash_name(instance_key(name.topic, name.params), name.identity);
}

size_t InstanceIndex::HashName::operator()(const Instance *instance) const {
    return hash_name(instance->key(), instance->identity());
}

bool InstanceIndex::EqualName::operator()(const Name &name, const Instance *instance) const {
    return instance->topic().name == name.topic && instance->name() == name.params &&
           instance->identity() == name.identity;
}

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
    Group &group = groups[key];
    group.emplace_hint(group.end(), instance.id(), &instance); // most often the youngest
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

// One that comes to another's key stays with it in a group until both are gone.
void InstanceIndex::put_by_params(Instance &instance) {
    if (Instance *other = alone_.find(instance.key())) {
        alone_.erase(instance.key());
        put(together_, instance.key(), *other);
    } else if (!together_.contains(instance.key())) {
        return alone_.put(instance.key(), &instance);
    }
    put(together_, instance.key(), instance);
}

void InstanceIndex::take_by_params(const Instance &instance) {
    if (alone_.find(instance.key()) == &instance)
        alone_.erase(instance.key());
    else
        take(together_, instance.key(), instance);
}

void InstanceIndex::add(Instance &instance) {
    const std::string &topic = instance.topic().name;
    by_name_.insert(&instance);
    put_by_params(instance);
    put(by_topic_, topic_key(topic), instance);
    if (instance.name().size() > 1)
        for (size_t i = 0; i < instance.name().size(); i++)
            put(by_value_, value_key(topic, i, instance.name()[i]), instance);
}

void InstanceIndex::remove(Instance &instance) {
    const std::string &topic = instance.topic().name;
    by_name_.erase(&instance);
    take_by_params(instance);
    take(by_topic_, topic_key(topic), instance);
    if (instance.name().size() > 1)
        for (size_t i = 0; i < instance.name().size(); i++)
            take(by_value_, value_key(topic, i, instance.name()[i]), instance);
}

Instance *InstanceIndex::find(const std::string &topic, const std::vector<std::string> &params,
                              const Identity &identity) const {
    auto found = by_name_.find(Name{topic, params, identity});
    return found != by_name_.end() ? *found : nullptr;
}

// In three rounds: what one of them brings says what the next one fetches.
void InstanceIndex::prefetch(std::span<const Event> events) const {
    std::vector<uint64_t> keys;
    std::vector<const Instance *> instances;
    keys.reserve(events.size());
    instances.reserve(events.size());
    for (const Event &event : events)
        alone_.prefetch(keys.emplace_back(interest_key(event)));
    for (uint64_t key : keys)
        if (const Instance *instance = alone_.find(key))
            Instance::prefetch(instances.emplace_back(instance));
    for (const Instance *instance : instances)
        instance->prefetch_parts();
}

InstanceIndex::Candidates InstanceIndex::candidates(const Event &event) const {
    if (event.params.empty())
        return Candidates(of_topic(event.topic));
    if (!is_for_many(event)) {
        uint64_t key = interest_key(event);
        Instance *alone = alone_.find(key);
        return alone != nullptr ? Candidates(alone) : Candidates(group(together_, key));
    }
    const Group *fewest = &of_topic(event.topic);
    for (size_t i = 0; i < event.params.size() && event.params.size() > 1; i++) {
        if (!event.params[i])
            continue;
        const Group &having = group(by_value_, value_key(event.topic, i, *event.params[i]));
        if (having.size() < fewest->size())
            fewest = &having;
    }
    return Candidates(*fewest);
}

const InstanceIndex::Group &InstanceIndex::of_topic(const std::string &topic) const {
    return group(by_topic_, topic_key(topic));
}

} // namespace rtd
