// Topics that come, change and go, and who may subscribe to them; the rules are in router.h.
#include "router/router.h"

#include <algorithm>

namespace rtd {

void Router::set_topics(Topics topics, Now now) {
    // Messages of a topic that was not known as durable may have come to nothing.
    bool has_new_durable = std::ranges::any_of(topics, [&](const auto &entry) {
        auto known = topics_.find(entry.first);
        return entry.second->is_durable &&
               (known == topics_.end() || known->second->version != entry.second->version ||
                known->second->generation != entry.second->generation);
    });
    if (has_new_durable)
        log_.start();
    std::erase_if(told_bound_, [&](const std::string &name) { return !topics.contains(name); });
    std::erase_if(losses_, [&](const auto &loss) {
        auto was = topics_.find(loss.first), is = topics.find(loss.first);
        return is == topics.end() || is->second->generation != was->second->generation;
    });
    for (const auto &[name, topic] : topics_) // what they read may be another table now
        if (auto is = topics.find(name);
            is == topics.end() || is->second->version != topic->version)
            unlock(name);
    topics_ = std::move(topics);
    std::vector<Instance *> instances;
    for (const auto &[id, instance] : instances_)
        instances.push_back(instance.get());
    for (Instance *instance : instances)
        follow_or_end(*instance, now);
}

void Router::change_topics(const std::vector<std::shared_ptr<const Topic>> &changed, Now now) {
    for (const std::shared_ptr<const Topic> &topic : changed) {
        auto known = topics_.find(topic->name);
        bool is_other = known == topics_.end() || known->second->generation != topic->generation;
        if (topic->is_durable && (is_other || known->second->version != topic->version))
            log_.start();
        if (is_other) {
            losses_.erase(topic->name);
            told_bound_.erase(topic->name);
        }
        unlock(topic->name); // what it reads may be another table now
        topics_.insert_or_assign(topic->name, topic);
        std::vector<Instance *> instances;
        for (const auto &[id, instance] : index_.of_topic(topic->name))
            if (instance->topic().name == topic->name)
                instances.push_back(instance);
        for (Instance *instance : instances)
            follow_or_end(*instance, now);
    }
}

void Router::check_access(Now now) {
    std::vector<std::pair<std::string, uint32_t>> asked;
    for (const auto &[topic, roles] : roles_)
        for (const auto &[role, count] : roles)
            asked.emplace_back(topic, role);
    for (const auto &[name, role] : asked)
        if (auto topic = topics_.find(name); topic != topics_.end())
            if (std::optional<link::Ended> refusal = host_.refuse({role, {}}, topic->second.get()))
                end_role(name, role, *refusal, now);
}

void Router::end_role(const std::string &topic, uint32_t role, const link::Ended &refusal, Now) {
    std::vector<Instance *> instances;
    for (const auto &[id, instance] : index_.of_topic(topic))
        instances.push_back(instance);
    for (Instance *instance : instances) {
        std::vector<uint64_t> ended;
        for (uint64_t subscription : instance->subscriptions())
            if (subscriptions_.at(subscription).identity.role == role)
                ended.push_back(subscription);
        for (uint64_t subscription : ended)
            end(subscription, refusal.code, refusal.reason);
        if (ended.empty())
            continue;
        reschedule(*instance);
        drop_if_unused(*instance);
    }
}

void Router::follow_or_end(Instance &instance, Now now) {
    catch_up(instance, now);
    std::string name = instance.topic().name;
    auto found = topics_.find(name);
    if (found == topics_.end() || found->second->generation != instance.topic().generation) {
        end_all(instance, CloseCode::topic_dropped, "topic \"" + name + "\" was dropped");
        drop(instance);
    } else if (!found->second->same_instances(instance.topic()) ||
               !keeps_name(instance, *found->second)) {
        end_all(instance, CloseCode::topic_changed,
                "topic \"" + name + "\" was altered, subscribe again");
        drop(instance);
    } else {
        follow(instance, found->second, now);
    }
}

// Where its parameters have other types now, the instance may be another one.
bool Router::keeps_name(const Instance &instance, const Topic &topic) {
    if (topic.parameter_types == instance.topic().parameter_types)
        return true;
    Result<InstanceParams> params = host_.canonical(topic, instance.params());
    return params && params->texts == instance.params() && params->name() == instance.name();
}

void Router::follow(Instance &instance, const std::shared_ptr<const Topic> &topic, Now now) {
    if (topic->version != instance.topic().version ||
        topic->parameter_types != instance.topic().parameter_types)
        instance.redefine(topic, now);
    std::vector<uint64_t> subscriptions(instance.subscriptions().begin(),
                                        instance.subscriptions().end());
    for (uint64_t subscription : subscriptions)
        if (std::optional<link::Ended> refusal =
                host_.refuse(subscriptions_.at(subscription).identity, topic.get()))
            end(subscription, refusal->code, refusal->reason);
    reschedule(instance);
    drop_if_unused(instance);
}

} // namespace rtd
