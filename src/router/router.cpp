// Implementation of the router; the rules are in router.h.
#include "router/router.h"

#include "core/envelope.h"
#include "core/json_text.h"

#include <algorithm>
#include <utility>

namespace rtd {

using link::TopicKind;

namespace {

// A client that walks through parameters leaves an instance behind at every step.
constexpr size_t kMaxLingering = 10'000;
constexpr int64_t kQueryAllIntervalMs = 500;
constexpr size_t kMaxKeptBytes = 64 << 20;
// An instance whose newcomers were all refused is kept at least so long, so that those who come
// next find what is known of the failure instead of causing it once more.
constexpr int64_t kFailureKeptMs = 1000;

bool matches(const std::vector<std::optional<std::string>> &pattern,
             const std::vector<std::string> &params) {
    if (pattern.size() != params.size())
        return pattern.empty(); // a topic with parameters, an event without: all its instances
    for (size_t i = 0; i < params.size(); i++)
        if (pattern[i] && *pattern[i] != params[i])
            return false;
    return true;
}

// The one instance that the event makes a message of, also if nobody subscribes: the message is
// retained. nullopt: it is only for instances that are there.
std::optional<InstanceParams> instance_to_retain(const Topic &topic, const Event &event) {
    if (topic.kind != TopicKind::event || !topic.retain ||
        (event.kind != EventKind::change && event.kind != EventKind::broadcast) ||
        event.params.size() != topic.parameters.size())
        return std::nullopt;
    InstanceParams params;
    for (const std::optional<std::string> &param : event.params) {
        if (!param)
            return std::nullopt;
        size_t i = params.match.size();
        bool is_text = i >= event.shown.size() || event.shown[i].empty();
        params.texts.push_back(is_text ? *param : event.shown[i]);
        params.match.push_back(*param);
    }
    return params;
}

} // namespace

// ---- topics ----

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
    std::erase_if(losses_, [&](const auto &loss) {
        auto was = topics_.find(loss.first), is = topics.find(loss.first);
        return is == topics.end() || is->second->generation != was->second->generation;
    });
    topics_ = std::move(topics);
    std::vector<Instance *> instances;
    for (auto &[id, entry] : instances_)
        instances.push_back(entry.instance.get());
    for (Instance *instance : instances) {
        const Topic &old = instance->topic();
        auto found = topics_.find(old.name);
        if (found == topics_.end() || found->second->generation != old.generation) {
            end_all(*instance, CloseCode::topic_dropped, "topic \"" + old.name + "\" was dropped");
            drop(*instance);
        } else if (!found->second->same_instances(old) || !keeps_name(*instance, *found->second)) {
            end_all(*instance, CloseCode::topic_changed,
                    "topic \"" + old.name + "\" was altered, subscribe again");
            drop(*instance);
        } else {
            follow(*instance, found->second, now);
        }
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

void Router::set_settings(const RouterSettings &settings) {
    settings_ = settings;
    log_.set_retention(settings.message_retention_ms);
    for (auto &[id, entry] : instances_)
        reschedule(*entry.instance);
}

// ---- subscriptions ----

std::optional<link::Ended> Router::why_refused(const link::Subscribe &request,
                                               const Identity &identity) {
    auto found = topics_.find(request.topic);
    const Topic *topic = found != topics_.end() ? found->second.get() : nullptr;
    if (std::optional<link::Ended> refusal = host_.refuse(identity, topic))
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
    if (!request.since.empty() && !parse_message_id(request.since))
        return link::Ended{0, CloseCode::bad_request, std::string(kBadSince)};
    return std::nullopt;
}

bool Router::add_subscriber_interest(uint64_t instance_key, uint64_t topic_key) {
    if (host_.add_interest(Interest::subscriber, instance_key, topic_key))
        return true;
    // Who is there goes before who may come back.
    while (!lingering_.empty())
        drop_oldest_lingering();
    return host_.add_interest(Interest::subscriber, instance_key, topic_key);
}

void Router::subscribe(const link::Subscribe &request, const Identity &identity, Now now) {
    if (std::optional<link::Ended> refusal = why_refused(request, identity)) {
        refusal->subscription = request.subscription;
        return host_.send(*refusal);
    }
    const std::shared_ptr<const Topic> &topic = topics_.find(request.topic)->second;
    Result<InstanceParams> params = host_.canonical(*topic, request.params);
    if (!params)
        return host_.send(
            link::Ended{request.subscription, CloseCode::bad_request, params.error()});
    // Counted before the first query is made, so that no commit in between goes unnoticed.
    if (!add_subscriber_interest(instance_key(topic->name, params->name()), topic_key(topic->name)))
        return host_.send(link::Ended{request.subscription, CloseCode::too_many,
                                      "too many different topic instances are subscribed"});

    Identity whose = topic->is_invoker ? identity : Identity{};
    Instance *instance = find({topic->name, params->name(), whose});
    if (instance == nullptr)
        instance = &make_instance(topic, std::move(*params), std::move(whose), now);
    else
        stop_lingering(*instance);
    subscriptions_[request.subscription] = {instance, identity};
    instance->subscribe(request, now);
    if (log_fails_ && instance->is_behind())
        instance->fail_read(now);
    settle(*instance, now);
}

void Router::unsubscribe(uint64_t subscription, Now now) {
    auto found = subscriptions_.find(subscription);
    if (found == subscriptions_.end())
        return; // ended from here while the request was on its way
    Instance &instance = *found->second.instance;
    subscriptions_.erase(found);
    instance.unsubscribe(subscription);
    bool is_last = instance.subscriptions().empty();
    if (is_last && settings_.linger_ms > 0 && instance.is_worth_keeping())
        start_lingering(instance, settings_.linger_ms,
                        now); // before the interest of the subscriber goes: no gap
    host_.remove_interest(Interest::subscriber, instance.key(), topic_key(instance.topic().name));
    reschedule(instance);
    drop_if_unused(instance);
}

void Router::forget_gateway(GatewayNumber gateway, Now now) {
    std::vector<uint64_t> gone;
    for (const auto &[subscription, whose] : subscriptions_)
        if (gateway_of(subscription) == gateway)
            gone.push_back(subscription);
    for (uint64_t subscription : gone)
        unsubscribe(subscription, now);
}

// May leave an instance that nobody subscribes to; the caller drops it.
void Router::end(uint64_t subscription, CloseCode code, const std::string &reason) {
    Instance &instance = *subscriptions_.at(subscription).instance;
    host_.send(link::Ended{subscription, code, reason});
    subscriptions_.erase(subscription);
    instance.unsubscribe(subscription);
    host_.remove_interest(Interest::subscriber, instance.key(), topic_key(instance.topic().name));
}

void Router::end_all(Instance &instance, CloseCode code, const std::string &reason) {
    std::vector<uint64_t> ended(instance.subscriptions().begin(), instance.subscriptions().end());
    for (uint64_t subscription : ended)
        end(subscription, code, reason);
}

void Router::refuse_waiting(Instance &instance, Now now) {
    std::optional<link::Ended> refusal = instance.give_up_waiting(now);
    if (!refusal)
        return;
    std::vector<uint64_t> waiting = instance.waiting_subscriptions();
    if (waiting.size() == instance.subscriptions().size())
        remember_failure(instance, now);
    for (uint64_t subscription : waiting)
        end(subscription, refusal->code, refusal->reason);
}

// Before its last subscriptions end.
void Router::remember_failure(Instance &instance, Now now) {
    bool has_more = settings_.linger_ms > kFailureKeptMs && instance.is_worth_keeping() &&
                    instance.kept_bytes() > 0;
    start_lingering(instance, has_more ? settings_.linger_ms : kFailureKeptMs, now);
}

void Router::settle(Instance &instance, Now now) {
    refuse_waiting(instance, now);
    reschedule(instance);
    drop_if_unused(instance);
}

// ---- instances ----

Instance *Router::find(const Name &name) {
    auto found = by_name_.find(name);
    return found != by_name_.end() ? found->second : nullptr;
}

Instance &Router::make_instance(std::shared_ptr<const Topic> topic, InstanceParams params,
                                Identity identity, Now now) {
    uint64_t id = next_instance_++;
    InstanceSetup setup{host_,
                        settings_,
                        id,
                        next_epoch_++,
                        std::move(topic),
                        std::move(params),
                        std::move(identity)};
    if (auto loss = losses_.find(setup.topic->name); loss != losses_.end())
        setup.last_loss = loss->second;
    std::unique_ptr<Instance> made = rtd::make_instance(std::move(setup), now);
    Instance &instance = *made;
    by_name_[{instance.topic().name, instance.name(), instance.identity()}] = &instance;
    instances_[id].instance = std::move(made);
    return instance;
}

// For other than the usual time it is entered as if it had been left earlier or later.
void Router::start_lingering(Instance &instance, int64_t linger_ms, Now now) {
    int64_t left_ms = now.steady_ms + linger_ms - settings_.linger_ms;
    host_.add_interest(Interest::lingering, instance.key(), topic_key(instance.topic().name));
    instances_.at(instance.id()).left_ms = left_ms;
    lingering_.insert({left_ms, instance.id()});
}

void Router::stop_lingering(Instance &instance) {
    Entry &entry = instances_.at(instance.id());
    if (!entry.left_ms)
        return;
    host_.remove_interest(Interest::lingering, instance.key(), topic_key(instance.topic().name));
    lingering_.erase({*entry.left_ms, instance.id()});
    kept_bytes_ -= std::exchange(entry.kept_bytes, 0);
    entry.left_ms.reset();
}

void Router::drop_oldest_lingering() {
    Instance &instance = *instances_.at(lingering_.begin()->second).instance;
    stop_lingering(instance);
    drop_if_unused(instance);
}

void Router::drop_if_unused(Instance &instance) {
    bool lingers = instances_.at(instance.id()).left_ms.has_value();
    if (instance.subscriptions().empty() && !instance.is_unstored() && !lingers)
        drop(instance);
}

// Frees the instance; a running query of it ends unheard.
void Router::drop(Instance &instance) {
    stop_lingering(instance);
    if (std::optional<int64_t> deadline_ms = instances_.at(instance.id()).deadline_ms)
        deadlines_.erase({*deadline_ms, instance.id()});
    unstored_.erase(instance.id());
    log_.set_behind(instance.id(), false);
    by_name_.erase({instance.topic().name, instance.name(), instance.identity()});
    instances_.erase(instance.id());
}

// ---- events ----

std::vector<Instance *> Router::matching(const Event &event) {
    std::vector<Instance *> found;
    for (auto it = by_name_.lower_bound({event.topic, {}, {}});
         it != by_name_.end() && std::get<0>(it->first) == event.topic; ++it)
        if (matches(event.params, it->second->name()))
            found.push_back(it->second);
    return found;
}

void Router::handle(const Event &event, Now now) {
    if (host_.logs_events())
        host_.log_event("[EVENT_DETECTION] " + event.origin + " event received: " + event.payload);
    if (handle_stored(event))
        return;
    if (event.kind == EventKind::moved)
        return query_all_again(now);
    auto topic = topics_.find(event.topic);
    if (topic == topics_.end())
        return; // dropped since the event was made
    if (event.kind == EventKind::lost)
        remember_loss(*topic->second, {now.wall_us, event.payload});
    std::vector<Instance *> instances = matching(event);
    if (instances.empty())
        if (auto params = instance_to_retain(*topic->second, event))
            instances.push_back(&make_instance(topic->second, std::move(*params), {}, now));
    if (instances.empty() && host_.logs_events())
        host_.log_event("[EVENT_BROADCAST] Skipping " + topic->second->type +
                        " broadcast - no active connections");
    for (Instance *instance : instances) {
        instance->handle(event, now);
        reschedule(*instance);
    }
}

void Router::query_all_again(Now now) {
    query_all_waits_ = now.steady_ms < query_all_from_ms_;
    if (query_all_waits_)
        return;
    query_all_from_ms_ = now.steady_ms + kQueryAllIntervalMs;
    Event event;
    event.kind = EventKind::refresh;
    for (auto &[id, entry] : instances_) {
        if (entry.instance->topic().kind == TopicKind::event)
            continue;
        entry.instance->handle(event, now);
        reschedule(*entry.instance);
    }
}

// False if the event is for the instances. Whether a row's topic is still durable is for the query
// worker to say: what is known here may be older.
bool Router::handle_stored(const Event &event) {
    if (event.kind == EventKind::stored) {
        log_.add(stored_row(event));
        return true;
    }
    auto topic = topics_.find(event.topic);
    if (topic == topics_.end() || !topic->second->is_durable)
        return false;
    if (event.kind == EventKind::lost)
        log_.recover();
    return true;
}

void Router::handle_loss(const std::function<bool(uint64_t topic_key)> &concerns,
                         const std::string &reason, Now now) {
    Loss loss{now.wall_us, "{\"reason\": " + json_quote(reason) + "}"};
    for (const auto &[name, topic] : topics_) {
        if (!concerns(topic_key(name)))
            continue;
        if (topic->is_durable)
            log_.recover();
        else
            remember_loss(*topic, loss);
    }
    for (auto &[id, entry] : instances_) {
        if (!concerns(topic_key(entry.instance->topic().name)))
            continue;
        entry.instance->handle_loss(loss, now);
        reschedule(*entry.instance);
    }
}

// What was lost may have been the message that a later subscriber would get.
void Router::remember_loss(const Topic &topic, const Loss &loss) {
    if (topic.kind == TopicKind::event && topic.retain)
        losses_.insert_or_assign(topic.name, loss);
}

// ---- queries ----

std::optional<QueryJob> Router::take_job(Now now, size_t most_per_topic) {
    for (auto it = ready_.begin(); it != ready_.end();) {
        auto found = instances_.find(*it);
        if (found == instances_.end() || found->second.instance->subscriptions().empty()) {
            if (found != instances_.end())
                found->second.instance->postpone_query();
            it = ready_.erase(it); // nobody subscribes any more
            continue;
        }
        Instance &instance = *found->second.instance;
        size_t &running = running_of_topic_[instance.topic().name];
        if (running >= most_per_topic) {
            ++it;
            continue;
        }
        ready_.erase(it);
        running++;
        running_[instance.id()] = {instance.topic().name, instance.topic().version};
        QueryJob job = instance.start_query(now);
        reschedule(instance);
        return job;
    }
    return std::nullopt;
}

std::optional<QueryJob> Router::finish_job(uint64_t id, const QueryOutcome &outcome, Now now) {
    auto found = instances_.find(id);
    uint64_t version = 0;
    if (auto job = running_.find(id); job != running_.end()) {
        if (outcome.is_open && found != instances_.end() &&
            found->second.instance->topic().version == job->second.version)
            if (std::optional<QueryJob> more = found->second.instance->continue_query(outcome))
                return more;
        auto count = running_of_topic_.find(job->second.topic);
        if (--count->second == 0)
            running_of_topic_.erase(count);
        version = job->second.version;
        running_.erase(job);
    }
    if (found == instances_.end())
        return std::nullopt; // everybody left while it ran
    Instance &instance = *found->second.instance;
    if (instance.topic().version != version) { // altered while it ran
        instance.discard_query(now);
        reschedule(instance);
        return std::nullopt;
    }
    bool is_bad_parameter = outcome.status == QueryOutcome::Status::bad_parameter;
    if (is_bad_parameter || outcome.status == QueryOutcome::Status::forbidden) {
        instance.finish_query(outcome, now);
        if (!instance.subscriptions().empty())
            remember_failure(instance, now);
        end_all(instance, is_bad_parameter ? CloseCode::bad_request : CloseCode::forbidden,
                outcome.text);
        settle(instance, now);
        return std::nullopt;
    }
    instance.finish_query(outcome, now);
    settle(instance, now);
    return std::nullopt;
}

void Router::abandon_job(uint64_t id, Now now) {
    QueryOutcome outcome;
    outcome.text = "the query worker ended unexpectedly";
    finish_job(id, outcome, now);
}

// ---- messages of durable topics ----

std::optional<LogJob> Router::take_log_job(Now now) {
    std::optional<MessageLog::Task> task = log_.take(now.steady_ms);
    if (!task)
        return std::nullopt;
    if (auto *number = std::get_if<NumberJob>(&*task))
        return std::move(*number);
    if (const auto *expire = std::get_if<ExpireJob>(&*task))
        return *expire;
    return instances_.at(std::get<MessageLog::Reading>(*task).instance).instance->next_read();
}

void Router::finish_log_job(const LogOutcome &outcome, Now now) {
    if (const auto *failure = std::get_if<LogFailure>(&outcome))
        return retry_log_job(failure->error, now);
    log_.finish(outcome, now.steady_ms);
    log_fails_ = false;
    if (const auto *numbered = std::get_if<NumberOutcome>(&outcome))
        for (const NumberedMessage &message : numbered->messages)
            if (Instance *instance = find({message.topic, message.params, {}})) {
                instance->receive(message, now);
                reschedule(*instance);
            }
    if (const auto *read = std::get_if<ReadOutcome>(&outcome))
        if (auto found = instances_.find(read->instance); found != instances_.end()) {
            found->second.instance->finish_read(*read, now);
            reschedule(*found->second.instance);
        }
}

void Router::abandon_log_job(Now now) {
    for (auto &[id, entry] : instances_) {
        entry.instance->doubt();
        reschedule(*entry.instance);
    }
    retry_log_job("the query worker ended unexpectedly", now);
}

void Router::retry_log_job(const std::string &error, Now now) {
    int64_t retry_ms = log_.fail(now.steady_ms);
    log_fails_ = true;
    for (auto &[id, entry] : instances_)
        if (entry.instance->is_behind()) {
            entry.instance->fail_read(now);
            reschedule(*entry.instance);
        }
    host_.log_warning("rtd hub could not number or read durable messages: " + error +
                      " (next attempt in " + std::to_string(retry_ms) + " ms)");
}

// ---- time ----

void Router::reschedule(Instance &instance) {
    Entry &entry = instances_.at(instance.id());
    if (!entry.greets && instance.can_greet()) {
        entry.greets = true;
        greetings_.push_back(instance.id());
    }
    if (instance.is_unstored())
        unstored_.insert(instance.id());
    else
        unstored_.erase(instance.id());
    log_.set_behind(instance.id(), instance.is_behind());
    if (entry.left_ms) {
        kept_bytes_ -= entry.kept_bytes;
        entry.kept_bytes = instance.kept_bytes();
        kept_bytes_ += entry.kept_bytes;
    }
    std::optional<int64_t> next = instance.next_deadline_ms();
    if (next == entry.deadline_ms)
        return;
    if (entry.deadline_ms)
        deadlines_.erase({*entry.deadline_ms, instance.id()});
    if (next)
        deadlines_.insert({*next, instance.id()});
    entry.deadline_ms = next;
}

void Router::finish_turn(Now now) {
    if (query_all_waits_)
        query_all_again(now);
    while (!deadlines_.empty() && deadlines_.begin()->first <= now.steady_ms) {
        Instance &instance = *instances_.at(deadlines_.begin()->second).instance;
        if (instance.tick(now))
            ready_.push_back(instance.id());
        settle(instance, now);
    }
    while (!lingering_.empty() &&
           (lingering_.begin()->first + settings_.linger_ms <= now.steady_ms ||
            lingering_.size() > kMaxLingering || kept_bytes_ > kMaxKeptBytes))
        drop_oldest_lingering();
    // One message for all who joined since the last turn.
    for (uint64_t id : std::exchange(greetings_, {})) {
        auto found = instances_.find(id);
        if (found == instances_.end())
            continue;
        found->second.greets = false;
        found->second.instance->greet();
    }
}

std::optional<int64_t> Router::next_deadline_ms() const {
    std::optional<int64_t> next = log_.next_deadline_ms();
    auto consider = [&](int64_t at) { next = next ? std::min(*next, at) : at; };
    if (!deadlines_.empty())
        consider(deadlines_.begin()->first);
    if (query_all_waits_)
        consider(query_all_from_ms_);
    if (!lingering_.empty())
        consider(lingering_.begin()->first + settings_.linger_ms);
    return next;
}

// ---- retained messages ----

std::vector<RetainedMessage> Router::unstored_messages() const {
    std::vector<RetainedMessage> messages;
    for (uint64_t id : unstored_)
        if (auto message = instances_.at(id).instance->unstored_message())
            messages.push_back(std::move(*message));
    return messages;
}

void Router::mark_stored(uint64_t id, uint64_t sequence) {
    auto found = instances_.find(id);
    if (found == instances_.end())
        return; // gone
    Instance &instance = *found->second.instance;
    instance.mark_stored(sequence);
    reschedule(instance);
    drop_if_unused(instance);
}

} // namespace rtd
