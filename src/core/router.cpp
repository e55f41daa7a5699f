// Implementation of the router; the rules are in router.h.
#include "core/router.h"

#include "core/envelope.h"
#include "core/json_text.h"

#include <algorithm>
#include <cassert>

namespace rtd {

using link::TopicKind;

namespace {

constexpr std::string_view kGapType = "rtd_gap";

std::string_view source_name(Cause cause) {
    switch (cause) {
    case Cause::sync:
        return "sync";
    case Cause::poll:
        return "poll";
    case Cause::event:
        return "event";
    }
    return "";
}

Sent restored(const std::optional<std::string> &body) {
    return body ? Sent{json_member(*body, "id"), *body} : Sent{};
}

bool matches(const std::vector<std::optional<std::string>> &pattern,
             const std::vector<std::string> &params) {
    if (pattern.size() != params.size())
        return pattern.empty(); // a topic with parameters, an event without: all its instances
    for (size_t i = 0; i < params.size(); i++)
        if (pattern[i] && *pattern[i] != params[i])
            return false;
    return true;
}

} // namespace

// ---- topics ----

void Router::set_topics(Topics topics) {
    topics_ = std::move(topics);
    std::vector<Instance *> instances;
    for (auto &[id, instance] : instances_)
        instances.push_back(instance.get());
    for (Instance *instance : instances) {
        auto found = topics_.find(instance->topic->name);
        if (found == topics_.end() || found->second->generation != instance->topic->generation) {
            unstored_.erase(instance->id);
            end_all(*instance, CloseCode::topic_dropped,
                    "topic \"" + instance->topic->name + "\" was dropped");
        } else if (!found->second->same_definition(*instance->topic)) {
            unstored_.erase(instance->id);
            end_all(*instance, CloseCode::topic_changed,
                    "topic \"" + instance->topic->name + "\" was altered, subscribe again");
        } else if (!instance->subscriptions.empty()) {
            if (std::optional<link::Ended> refusal = host_.refuse(found->second.get()))
                end_all(*instance, refusal->code, refusal->reason);
        }
    }
}

void Router::set_resync_interval(int64_t interval_ms) {
    resync_interval_ms_ = interval_ms;
    for (auto &[id, instance] : instances_)
        reschedule(*instance);
}

// ---- subscriptions ----

std::optional<link::Ended> Router::why_refused(const link::Subscribe &request) {
    auto found = topics_.find(request.topic);
    const Topic *topic = found != topics_.end() ? found->second.get() : nullptr;
    if (std::optional<link::Ended> refusal = host_.refuse(topic))
        return refusal;
    if (topic == nullptr)
        return link::Ended{0, CloseCode::unknown_topic,
                           "topic \"" + request.topic + "\" does not exist"};
    size_t wanted = topic->parameters.size();
    if (request.params.size() != wanted)
        return link::Ended{0, CloseCode::bad_request,
                           "topic \"" + topic->name + "\" takes " + std::to_string(wanted) +
                               (wanted == 1 ? " parameter" : " parameters") + ", not " +
                               std::to_string(request.params.size())};
    return std::nullopt;
}

void Router::subscribe(const link::Subscribe &request, Now now) {
    if (std::optional<link::Ended> refusal = why_refused(request)) {
        refusal->subscription = request.subscription;
        return host_.send(*refusal);
    }
    const std::shared_ptr<const Topic> &topic = topics_.find(request.topic)->second;
    // Counted before the first query is made, so that no commit in between goes unnoticed.
    if (!host_.add_interest(instance_key(topic->name, request.params), topic_key(topic->name)))
        return host_.send(link::Ended{request.subscription, CloseCode::too_many,
                                      "too many different topic instances are subscribed"});

    Instance *instance = find(topic->name, request.params);
    if (instance == nullptr) {
        instance = &make_instance(topic, request.params, now);
        if (topic->kind == TopicKind::event && topic->retain)
            instance->last_message = restored(host_.load_retained(topic->name, request.params));
    }
    bool is_state = topic->kind == TopicKind::state;
    bool awaits_first = is_state || !instance->last_message.body.empty();
    subscriptions_[request.subscription] = instance;
    instance->subscriptions.insert(request.subscription);
    host_.send(
        link::Subscribed{request.subscription, instance->id, topic->kind, awaits_first, false});
    if (!awaits_first)
        return;
    instance->waiting.insert(request.subscription);
    if (!instance->last_message.body.empty()) {
        greetings_.push_back(instance->id);
    } else if (!instance->coalescer.running() && !instance->coalescer.dirty()) {
        instance->coalescer.changed(now.steady_ms, Cause::sync);
        reschedule(*instance);
    }
}

void Router::unsubscribe(uint64_t subscription) {
    auto found = subscriptions_.find(subscription);
    if (found == subscriptions_.end())
        return; // ended from here while the request was on its way
    Instance &instance = *found->second;
    subscriptions_.erase(found);
    instance.subscriptions.erase(subscription);
    instance.waiting.erase(subscription);
    host_.remove_interest(instance.key, topic_key(instance.topic->name));
    drop_if_unused(instance);
}

void Router::forget_subscriptions() {
    while (!subscriptions_.empty())
        unsubscribe(subscriptions_.begin()->first);
}

void Router::end_all(Instance &instance, CloseCode code, const std::string &reason) {
    uint64_t id = instance.id;
    std::vector<uint64_t> ended(instance.subscriptions.begin(), instance.subscriptions.end());
    for (uint64_t subscription : ended) {
        host_.send(link::Ended{subscription, code, reason});
        unsubscribe(subscription); // the last one drops the instance
    }
    auto found = instances_.find(id);
    if (found != instances_.end())
        drop_if_unused(*found->second);
}

// ---- instances ----

Router::Instance *Router::find(const std::string &topic, const std::vector<std::string> &params) {
    auto found = by_name_.find({topic, params});
    return found != by_name_.end() ? found->second : nullptr;
}

Router::Instance &Router::make_instance(std::shared_ptr<const Topic> topic,
                                        std::vector<std::string> params, Now now) {
    auto made = std::make_unique<Instance>();
    Instance &instance = *made;
    instance.id = next_instance_++;
    instance.key = instance_key(topic->name, params);
    // An epoch of its own: an instance that comes back later never repeats an id.
    instance.epoch = next_epoch_++;
    instance.coalescer = Coalescer(topic->throttle_ms, topic->debounce_ms);
    instance.last_event_ms = now.steady_ms;
    if (topic->kind == TopicKind::state && topic->refresh_ms > 0)
        instance.next_poll_ms = now.steady_ms + topic->refresh_ms;
    instance.topic = std::move(topic);
    instance.params = std::move(params);
    by_name_[{instance.topic->name, instance.params}] = &instance;
    instances_[instance.id] = std::move(made);
    return instance;
}

void Router::drop_if_unused(Instance &instance) {
    if (!instance.subscriptions.empty() || unstored_.contains(instance.id))
        return;
    if (instance.deadline_ms)
        deadlines_.erase({*instance.deadline_ms, instance.id});
    by_name_.erase({instance.topic->name, instance.params});
    instances_.erase(instance.id); // frees `instance`; a running job of it ends unheard
}

// ---- events ----

std::vector<Router::Instance *> Router::matching(const Event &event) {
    std::vector<Instance *> found;
    for (auto it = by_name_.lower_bound({event.topic, {}});
         it != by_name_.end() && it->first.first == event.topic; ++it)
        if (matches(event.params, it->second->params))
            found.push_back(it->second);
    return found;
}

void Router::handle(const Event &event, Now now) {
    if (host_.logs_events())
        host_.log_event("[EVENT_DETECTION] " + event.origin + " event received: " + event.payload);
    auto found = topics_.find(event.topic);
    if (found == topics_.end())
        return; // dropped since the event was made
    const std::shared_ptr<const Topic> &topic = found->second;

    std::vector<Instance *> instances = matching(event);
    if (instances.empty() && topic->kind == TopicKind::event && topic->retain &&
        (event.kind == EventKind::change || event.kind == EventKind::broadcast) &&
        event.params.size() == topic->parameters.size() &&
        std::ranges::all_of(event.params, [](const auto &param) { return param.has_value(); })) {
        std::vector<std::string> params;
        for (const std::optional<std::string> &param : event.params)
            params.push_back(*param);
        instances.push_back(&make_instance(topic, std::move(params), now));
    }
    if (instances.empty() && host_.logs_events())
        host_.log_event("[EVENT_BROADCAST] Skipping " + topic->type +
                        " broadcast - no active connections");
    for (Instance *instance : instances) {
        instance->last_event_ms = now.steady_ms;
        if (topic->kind == TopicKind::state && event.kind != EventKind::broadcast)
            change(*instance, event, now);
        else if (event.kind == EventKind::lost)
            tell_gap(*instance, event.payload, now);
        else if (event.kind != EventKind::refresh)
            publish(*instance, event, now);
    }
}

void Router::change(Instance &instance, const Event &event, Now now) {
    if (host_.logs_events())
        instance.last_payload = event.payload;
    instance.coalescer.changed(now.steady_ms, Cause::event);
    // Quiet can only be told by hearing of every change.
    if (instance.topic->debounce_ms > 0)
        host_.clear_changed(instance.key, topic_key(instance.topic->name));
    reschedule(instance);
}

void Router::publish(Instance &instance, const Event &event, Now now) {
    std::string_view type = event.type.empty() ? instance.topic->type : event.type;
    std::string_view source = event.source.empty() ? "event" : std::string_view(event.source);
    Sent message = next_message(instance, event.payload, type, source, "event", now);
    if (instance.topic->kind == TopicKind::state) {
        // What clients show is no longer the state: the next result is sent even if it is equal.
        instance.last_sent_is_state = false;
    } else if (instance.topic->retain) {
        instance.last_message = message;
        unstored_.insert(instance.id);
    }
    deliver(instance, message, type, event.payload);
}

void Router::handle_loss(const std::function<bool(uint64_t topic_key)> &concerns,
                         const std::string &reason, Now now) {
    for (auto &[id, instance] : instances_) {
        if (!concerns(topic_key(instance->topic->name)))
            continue;
        if (instance->topic->kind == TopicKind::event) {
            tell_gap(*instance, "{\"reason\": " + json_quote(reason) + "}", now);
            continue;
        }
        instance->coalescer.changed(now.steady_ms, Cause::sync);
        reschedule(*instance);
    }
}

void Router::tell_gap(Instance &instance, const std::string &payload, Now now) {
    if (instance.subscriptions.size() == instance.waiting.size())
        return; // nobody who could have missed something
    Sent gap = next_message(instance, payload, kGapType, "event", "gap", now);
    host_.send(link::Message{instance.id, link::Audience::live, gap.body, gap.id});
}

Sent Router::next_message(Instance &instance, std::string_view data, std::string_view type,
                          std::string_view source, std::string_view kind, Now now) {
    Sent message{message_id(instance.epoch, ++instance.sequence), {}};
    message.body = to_json({.type = type,
                            .data = data,
                            .timestamp_us = now.wall_us,
                            .source = source,
                            .topic = instance.topic->name,
                            .params = &instance.params,
                            .id = message.id,
                            .kind = kind});
    return message;
}

void Router::deliver(Instance &instance, const Sent &message, std::string_view type,
                     std::string_view payload) {
    size_t live = instance.subscriptions.size() - instance.waiting.size();
    if (live > 0)
        host_.send(link::Message{instance.id, link::Audience::live, message.body, message.id});
    if (!instance.waiting.empty())
        greetings_.push_back(instance.id);
    if (!host_.logs_events())
        return;
    if (instance.subscriptions.empty())
        host_.log_event("[EVENT_BROADCAST] Skipping " + std::string(type) +
                        " broadcast - no active connections");
    else
        host_.log_event("[EVENT_BROADCAST] Broadcasted " + std::string(type) + " update to " +
                        std::to_string(instance.subscriptions.size()) +
                        " clients (operation=" + json_member(payload, "operation") +
                        ", id=" + json_second_member(payload) + ")");
}

void Router::greet(Instance &instance) {
    if (instance.waiting.empty() || instance.last_message.body.empty())
        return;
    host_.send(link::Message{instance.id, link::Audience::waiting, instance.last_message.body,
                             instance.last_message.id});
    instance.waiting.clear();
}

// ---- queries ----

std::optional<QueryJob> Router::take_job(Now now, size_t most_per_topic) {
    for (auto it = ready_.begin(); it != ready_.end();) {
        auto found = instances_.find(*it);
        if (found == instances_.end()) { // nobody subscribes any more
            it = ready_.erase(it);
            continue;
        }
        Instance &instance = *found->second;
        size_t &running = running_of_topic_[instance.topic->name];
        if (running >= most_per_topic) {
            ++it;
            continue;
        }
        ready_.erase(it);
        running++;
        running_[instance.id] = instance.topic->name;
        instance.queued = false;
        instance.run_cause = instance.coalescer.start(now.steady_ms);
        host_.clear_changed(instance.key, topic_key(instance.topic->name));
        reschedule(instance);
        return QueryJob{instance.id, instance.topic, instance.params};
    }
    return std::nullopt;
}

void Router::finish_job(uint64_t id, const QueryOutcome &outcome, Now now) {
    if (auto job = running_.find(id); job != running_.end()) {
        auto count = running_of_topic_.find(job->second);
        if (--count->second == 0)
            running_of_topic_.erase(count);
        running_.erase(job);
    }
    auto found = instances_.find(id);
    if (found == instances_.end())
        return; // everybody left while it ran
    Instance &instance = *found->second;
    switch (outcome.status) {
    case QueryOutcome::Status::bad_parameter:
        return end_all(instance, CloseCode::bad_request, outcome.text);
    case QueryOutcome::Status::failed: {
        int64_t retry_ms = instance.coalescer.failed(now.steady_ms, instance.run_cause);
        host_.log_warning("[EVENT_BROADCAST] Error broadcasting " + instance.topic->type +
                          " update: " + outcome.text + " (topic \"" + instance.topic->name +
                          "\", next attempt in " + std::to_string(retry_ms) + " ms)");
        break;
    }
    case QueryOutcome::Status::ok: {
        instance.coalescer.succeeded();
        bool equal = !instance.last_message.body.empty() && instance.last_hash == outcome.hash;
        if (!equal || !instance.last_sent_is_state) {
            instance.last_hash = outcome.hash;
            instance.last_message = next_message(instance, outcome.text, instance.topic->type,
                                                 source_name(instance.run_cause), "snapshot", now);
            instance.last_sent_is_state = true;
            deliver(instance, instance.last_message, instance.topic->type, instance.last_payload);
        }
        break;
    }
    }
    reschedule(instance);
}

void Router::abandon_job(uint64_t id, Now now) {
    finish_job(id, {QueryOutcome::Status::failed, "the query worker ended unexpectedly"}, now);
}

// ---- time ----

void Router::reschedule(Instance &instance) {
    std::optional<int64_t> next;
    auto consider = [&](int64_t at) { next = next ? std::min(*next, at) : at; };
    if (instance.topic->kind == TopicKind::state) {
        if (std::optional<int64_t> due = instance.coalescer.due_ms(); due && !instance.queued)
            consider(*due);
        if (instance.next_poll_ms > 0)
            consider(instance.next_poll_ms);
        if (resync_interval_ms_ > 0)
            consider(instance.last_event_ms + resync_interval_ms_);
    }
    if (next == instance.deadline_ms)
        return;
    if (instance.deadline_ms)
        deadlines_.erase({*instance.deadline_ms, instance.id});
    if (next)
        deadlines_.insert({*next, instance.id});
    instance.deadline_ms = next;
}

void Router::finish_turn(Now now) {
    while (!deadlines_.empty() && deadlines_.begin()->first <= now.steady_ms) {
        Instance &instance = *instances_.at(deadlines_.begin()->second);
        if (instance.next_poll_ms > 0 && instance.next_poll_ms <= now.steady_ms) {
            instance.next_poll_ms = now.steady_ms + instance.topic->refresh_ms;
            instance.coalescer.changed(now.steady_ms, Cause::poll);
        }
        if (resync_interval_ms_ > 0 &&
            instance.last_event_ms + resync_interval_ms_ <= now.steady_ms) {
            instance.last_event_ms = now.steady_ms;
            instance.coalescer.changed(now.steady_ms, Cause::sync);
        }
        std::optional<int64_t> due = instance.coalescer.due_ms();
        if (!instance.queued && due && *due <= now.steady_ms) {
            instance.queued = true;
            ready_.push_back(instance.id);
        }
        reschedule(instance);
    }
    for (uint64_t id : greetings_)
        if (auto found = instances_.find(id); found != instances_.end())
            greet(*found->second);
    greetings_.clear();
}

std::optional<int64_t> Router::next_deadline_ms() const {
    if (deadlines_.empty())
        return std::nullopt;
    return deadlines_.begin()->first;
}

// ---- retained messages ----

std::vector<RetainedMessage> Router::unstored_messages() const {
    std::vector<RetainedMessage> messages;
    for (uint64_t id : unstored_) {
        const Instance &instance = *instances_.at(id);
        messages.push_back({id, instance.sequence, instance.topic->name, instance.params,
                            instance.last_message.body});
    }
    return messages;
}

void Router::mark_stored(uint64_t id, uint64_t sequence) {
    auto found = instances_.find(id);
    if (found == instances_.end() || found->second->sequence != sequence)
        return; // gone, or a newer message came while this one was written
    unstored_.erase(id);
    drop_if_unused(*found->second);
}

} // namespace rtd
