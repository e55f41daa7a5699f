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
constexpr int64_t kToldFullMs = 60'000; // the log says that often that memory is full
// An instance whose newcomers were all refused is kept at least so long, so that those who come
// next find what is known of the failure instead of causing it once more.
constexpr int64_t kFailureKeptMs = 1000;

// An event for more instances than these is told in portions.
constexpr size_t kAtOnce = 256;
// Instances that hear of such events in one turn, and that get their first message.
constexpr size_t kPortion = 1000;
// Of one topic, whose timers run in one turn.
constexpr size_t kTimersPerTopic = 500;

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

size_t fixed_bytes(const Instance &instance) {
    return InstanceMemory::fixed_bytes(instance.topic().kind, instance.params());
}

void hand(Instance &instance, const WideEvent &wide, Now now) {
    if (wide.loss)
        instance.handle_loss(*wide.loss, now);
    else
        instance.handle(wide.event, now);
}

} // namespace

// ---- settings ----

void Router::set_settings(const RouterSettings &settings) {
    bool is_other_deadline = settings.resync_interval_ms != settings_.resync_interval_ms;
    settings_ = settings;
    history_bytes_ = settings.history_bytes;
    memory_.set_most(settings.instance_bytes);
    log_.set_retention(settings.message_retention_ms);
    if (!is_other_deadline)
        return;
    for (const auto &[name, topic] : topics_)
        if (topic->kind != TopicKind::event)
            for (const auto &[id, instance] : index_.of_topic(name))
                reschedule(*instance);
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
    Identity whose = topic->is_invoker ? identity : Identity{};
    Instance *instance = index_.find(topic->name, params->name(), whose);
    if (is_full()) {
        if (std::optional<link::Ended> refusal = make_room(instance == nullptr, now)) {
            refusal->subscription = request.subscription;
            return host_.send(*refusal);
        }
        instance = index_.find(topic->name, params->name(), whose); // it may have lingered
    }
    // Counted before the first query is made, so that no commit in between goes unnoticed.
    if (!add_subscriber_interest(instance_key(topic->name, params->name()), topic_key(topic->name)))
        return host_.send(link::Ended{request.subscription, CloseCode::too_many,
                                      "too many different topic instances are subscribed"});
    instance = index_.find(topic->name, params->name(), whose);
    if (instance == nullptr) {
        instance = &make_instance(topic, std::move(*params), std::move(whose), now);
    } else {
        catch_up(*instance, now); // it may have changed while nobody subscribed
        stop_lingering(*instance);
        alone_.remove(instance->id());
    }
    subscriptions_[request.subscription] = {instance, identity};
    roles_[topic->name][identity.role]++;
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
    forget_role(instance, found->second.identity);
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
    auto found = subscriptions_.find(subscription);
    Instance &instance = *found->second.instance;
    host_.send(link::Ended{subscription, code, reason});
    forget_role(instance, found->second.identity);
    subscriptions_.erase(found);
    instance.unsubscribe(subscription);
    host_.remove_interest(Interest::subscriber, instance.key(), topic_key(instance.topic().name));
}

void Router::forget_role(const Instance &instance, const Identity &identity) {
    auto roles = roles_.find(instance.topic().name);
    if (--roles->second.at(identity.role) > 0)
        return;
    roles->second.erase(identity.role);
    if (roles->second.empty())
        roles_.erase(roles);
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

Instance &Router::make_instance(std::shared_ptr<const Topic> topic, InstanceParams params,
                                Identity identity, Now now) {
    uint64_t id = next_instance_++;
    InstanceSetup setup{host_,         settings_,        locked_topics_,    id,
                        next_epoch_++, std::move(topic), std::move(params), std::move(identity)};
    if (auto loss = losses_.find(setup.topic->name); loss != losses_.end())
        setup.last_loss = loss->second;
    std::unique_ptr<Instance> made = rtd::make_instance(std::move(setup), now);
    Instance &instance = *made;
    instances_[id] = std::move(made);
    instance.standing().told = wide_.newest();
    memory_.change(0, fixed_bytes(instance));
    index_.add(instance);
    return instance;
}

// For other than the usual time it is entered as if it had been left earlier or later.
void Router::start_lingering(Instance &instance, int64_t linger_ms, Now now) {
    int64_t left_ms = now.steady_ms + linger_ms - settings_.linger_ms;
    host_.add_interest(Interest::lingering, instance.key(), topic_key(instance.topic().name));
    instance.standing().left_ms = left_ms;
    lingering_.insert({left_ms, instance.id()});
    kept_bytes_ += instance.standing().kept_bytes;
}

void Router::stop_lingering(Instance &instance) {
    Standing &standing = instance.standing();
    if (!standing.left_ms)
        return;
    host_.remove_interest(Interest::lingering, instance.key(), topic_key(instance.topic().name));
    lingering_.erase({*standing.left_ms, instance.id()});
    kept_bytes_ -= standing.kept_bytes;
    standing.left_ms.reset();
}

void Router::drop_oldest_lingering() {
    Instance &instance = *instances_.at(lingering_.begin()->second);
    stop_lingering(instance);
    drop_if_unused(instance);
}

// Why there is none for another subscription; `is_new`: of an instance that is not there.
std::optional<link::Ended> Router::make_room(bool is_new, Now now) {
    while (is_full() && !lingering_.empty())
        drop_oldest_lingering();
    bool has_room = is_new ? !is_full() : !memory_.is_overfull(subscriptions_.size());
    return has_room ? std::nullopt : std::optional(told_full(now));
}

link::Ended Router::told_full(Now now) {
    if (!told_full_ms_ || now.steady_ms >= *told_full_ms_ + kToldFullMs) {
        told_full_ms_ = now.steady_ms;
        host_.log_warning("subscriptions are refused: " + std::to_string(instances_.size()) +
                          " topic instances with " + std::to_string(subscriptions_.size()) +
                          " subscriptions take " + std::to_string(instance_bytes() >> 20) +
                          " MB of memory (rtd.instance_memory)");
    }
    return {0, CloseCode::too_many,
            "the server has no more memory for topic instances; try again later"};
}

// Its first result makes it larger than there is room for: those who asked for it do not get it.
void Router::refuse_new(Instance &instance, Now now) {
    link::Ended refusal = told_full(now);
    end_all(instance, refusal.code, refusal.reason);
}

void Router::keep_memory_bound() {
    while (is_full() && !lingering_.empty())
        drop_oldest_lingering();
    settings_.history_bytes = is_full() ? 0 : history_bytes_;
}

void Router::drop_if_unused(Instance &instance) {
    bool lingers = instance.standing().left_ms.has_value();
    if (instance.subscriptions().empty() && !lingers && !instance.is_unstored())
        drop(instance);
    else
        note_alone(instance);
}

// Its newest message, if that is all that it is kept for.
void Router::note_alone(const Instance &instance) {
    if (instance.is_unstored() && instance.subscriptions().empty() && !instance.standing().left_ms)
        alone_.touch(topic_key(instance.topic().name), instance.id(), instance.kept_bytes());
}

// Frees the instance; a running query of it ends unheard.
void Router::drop(Instance &instance) {
    stop_lingering(instance);
    deadlines_.set(topic_key(instance.topic().name), instance.id(), instance.standing().deadline_ms,
                   std::nullopt);
    if (instance.standing().is_unstored)
        unstored_.remove(instance.id());
    retained_reads_.erase(instance.id());
    alone_.remove(instance.id());
    log_.set_behind(instance.id(), false, false);
    memory_.change(fixed_bytes(instance) + instance.standing().kept_bytes, 0);
    index_.remove(instance);
    instances_.erase(instance.id());
}

// ---- events ----

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
    InstanceIndex::Candidates candidates = index_.candidates(event);
    if (candidates.size() > kAtOnce)
        return tell_all(candidates, {event, {}}, topic->second->kind != TopicKind::event, now);
    bool is_for_somebody = false;
    candidates.each([&](Instance &instance) {
        if (!InstanceIndex::matches(event, instance))
            return;
        is_for_somebody = true;
        catch_up(instance, now);
        instance.handle(event, now);
        reschedule(instance);
        note_alone(instance);
    });
    if (!is_for_somebody)
        retain_or_skip(*topic, event, now);
    keep_bound(*topic->second);
}

// Nobody subscribes.
void Router::retain_or_skip(const Topics::value_type &topic, const Event &event, Now now) {
    std::optional<InstanceParams> params = instance_to_retain(*topic.second, event);
    if (params) {
        Instance &instance = make_instance(topic.second, std::move(*params), {}, now);
        instance.handle(event, now);
        reschedule(instance);
        note_alone(instance);
    } else if (host_.logs_events()) {
        host_.log_event("[EVENT_BROADCAST] Skipping " + topic.second->type +
                        " broadcast - no active connections");
    }
}

void Router::tell(Instance &instance, const WideEvent &event, Now now) {
    catch_up(instance, now);
    hand(instance, event, now);
    reschedule(instance);
    note_alone(instance);
}

// At once if they are few, in portions otherwise. `repeats`: one of several equal events is enough.
void Router::tell_all(const InstanceIndex::Candidates &candidates, WideEvent event, bool repeats,
                      Now now) {
    if (candidates.size() <= kAtOnce && told_at_once_ < kPortion) {
        told_at_once_ += candidates.size();
        candidates.each([&](Instance &instance) {
            if (InstanceIndex::matches(event.event, instance))
                tell(instance, event, now);
        });
        return;
    }
    if (repeats && wide_.has_equal(event))
        return;
    uint64_t topic = topic_key(event.event.topic);
    wide_.add(std::move(event));
    while (wide_.is_full(topic))
        if (std::optional<uint64_t> id = wide_.next_of(topic, index_))
            if (auto found = instances_.find(*id); found != instances_.end())
                catch_up(*found->second, now);
}

// Tells the instance what waits for it.
void Router::catch_up(Instance &instance, Now now) {
    if (wide_.empty())
        return;
    uint64_t &told = instance.standing().told;
    if (told == wide_.newest())
        return;
    wide_.each_after(topic_key(instance.topic().name), told, [&](const WideEvent &wide) {
        if (!InstanceIndex::matches(wide.event, instance))
            return;
        hand(instance, wide, now);
    });
    told = wide_.newest();
    reschedule(instance);
    note_alone(instance);
}

void Router::tell_some(Now now) {
    for (size_t n = 0; n < kPortion; n++) {
        std::optional<uint64_t> id = wide_.next(index_);
        if (!id)
            return;
        if (auto found = instances_.find(*id); found != instances_.end())
            catch_up(*found->second, now);
    }
}

// Those that wait to be stored are no more than will be kept.
void Router::keep_bound(const Topic &topic) {
    if (!topic.retain)
        return;
    while (std::optional<uint64_t> oldest =
               alone_.excess(topic_key(topic.name), settings_.max_retained)) {
        Instance &instance = *instances_.at(*oldest);
        note_retained_bound(instance.topic().name);
        drop(instance);
    }
}

void Router::query_all_again(Now now) {
    query_all_waits_ = now.steady_ms < query_all_from_ms_;
    if (query_all_waits_)
        return;
    query_all_from_ms_ = now.steady_ms + kQueryAllIntervalMs;
    Event event;
    event.kind = EventKind::refresh;
    for (const auto &[name, topic] : topics_) {
        if (topic->kind == TopicKind::event)
            continue;
        event.topic = name;
        tell_all(InstanceIndex::Candidates(index_.of_topic(name)), {event, {}}, true, now);
    }
}

// False if the event is for the instances. Whether a row's topic is still durable is for the query
// worker to say: what is known here may be older.
bool Router::handle_stored(const Event &event) {
    if (event.kind == EventKind::stored) {
        log_.add(event.topic, stored_row(event));
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
        Event event;
        event.kind = EventKind::lost;
        event.topic = name;
        tell_all(InstanceIndex::Candidates(index_.of_topic(name)), {std::move(event), loss},
                 topic->kind != TopicKind::event, now);
    }
}

// What was lost may have been the message that a later subscriber would get.
void Router::remember_loss(const Topic &topic, const Loss &loss) {
    if (topic.kind == TopicKind::event && topic.retain)
        losses_.insert_or_assign(topic.name, loss);
}

// ---- time ----

void Router::reschedule(Instance &instance) {
    Standing &standing = instance.standing();
    if (!standing.greets && instance.can_greet()) {
        standing.greets = true;
        greetings_.push_back(instance.id());
    }
    // What did not change is not looked up: that would cost an event among many instances more.
    if (bool is = instance.is_unstored(); is != std::exchange(standing.is_unstored, is)) {
        if (is)
            unstored_.add(instance.id());
        else
            unstored_.remove(instance.id());
    }
    if (bool wants = instance.wants_retained();
        wants != std::exchange(standing.wants_retained, wants)) {
        if (wants)
            retained_reads_.insert(instance.id());
        else
            retained_reads_.erase(instance.id());
    }
    log_.set_behind(instance.id(), instance.is_behind(), instance.is_loading());
    count_kept_bytes(instance);
    std::optional<int64_t> next = instance.next_deadline_ms();
    if (next == standing.deadline_ms)
        return;
    deadlines_.set(topic_key(instance.topic().name), instance.id(), standing.deadline_ms, next);
    standing.deadline_ms = next;
}

void Router::count_kept_bytes(Instance &instance) {
    Standing &standing = instance.standing();
    size_t kept = instance.kept_bytes();
    if (standing.left_ms)
        kept_bytes_ += kept - standing.kept_bytes;
    memory_.change(std::exchange(standing.kept_bytes, kept), kept);
}

void Router::finish_turn(Now now) {
    if (query_all_waits_)
        query_all_again(now);
    locked_topics_.take_due(now.steady_ms,
                            [&](const std::string &topic) { ready_.release(topic_key(topic)); });
    told_at_once_ = 0;
    tell_some(now);
    deadlines_.run_due(now.steady_ms, kTimersPerTopic, [&](uint64_t id) {
        Instance &instance = *instances_.at(id);
        if (instance.tick(now))
            ready_.add(topic_key(instance.topic().name), id);
        settle(instance, now);
    });
    while (!lingering_.empty() &&
           (lingering_.begin()->first + settings_.linger_ms <= now.steady_ms ||
            lingering_.size() > kMaxLingering || kept_bytes_ > kMaxKeptBytes))
        drop_oldest_lingering();
    keep_memory_bound();
    greet_some();
}

// One message for all who joined since the last turn.
void Router::greet_some() {
    for (size_t n = 0; n < kPortion && !greetings_.empty(); n++) {
        auto found = instances_.find(greetings_.front());
        greetings_.pop_front();
        if (found == instances_.end())
            continue;
        found->second->standing().greets = false;
        found->second->greet();
    }
}

std::optional<int64_t> Router::next_deadline_ms() const {
    std::optional<int64_t> next;
    auto consider = [&](int64_t at) { next = next ? std::min(*next, at) : at; };
    if (!wide_.empty() || !greetings_.empty())
        consider(0); // there was more than fits into a turn
    if (std::optional<int64_t> at = deadlines_.next_ms())
        consider(*at);
    if (std::optional<int64_t> at = locked_topics_.next_deadline_ms())
        consider(*at);
    if (query_all_waits_)
        consider(query_all_from_ms_);
    if (!lingering_.empty())
        consider(lingering_.begin()->first + settings_.linger_ms);
    return next;
}

// ---- retained messages ----

std::vector<RetainedMessage> Router::unstored_messages(size_t most, size_t most_bytes) {
    std::vector<RetainedMessage> messages;
    messages.reserve(std::min(most, unstored_.size()));
    size_t bytes = 0;
    for (size_t n = std::min(most, unstored_.size()); n > 0 && bytes < most_bytes; n--) {
        if (std::optional<RetainedMessage> message =
                instances_.at(unstored_.next())->unstored_message()) {
            bytes += message->message.size();
            messages.push_back(std::move(*message));
        }
    }
    return messages;
}

std::vector<RetainedRead> Router::take_retained_reads(size_t most) {
    std::vector<RetainedRead> reads;
    reads.reserve(std::min(most, retained_reads_.size()));
    while (reads.size() < most && !retained_reads_.empty()) {
        Instance &instance = *instances_.at(*retained_reads_.begin());
        reads.push_back(instance.start_retained_read());
        reschedule(instance);
    }
    return reads;
}

void Router::finish_retained_read(const RetainedAnswer &answer, Now now) {
    auto found = instances_.find(answer.instance);
    if (found == instances_.end())
        return; // everybody left
    Instance &instance = *found->second;
    catch_up(instance, now); // before it answers those who wait
    instance.finish_retained_read(answer, now);
    settle(instance, now);
}

void Router::note_retained_bound(const std::string &topic) {
    if (topics_.contains(topic) && told_bound_.insert(topic).second)
        host_.log_warning("[EVENT_BROADCAST] topic \"" + topic + "\" retains the messages of " +
                          std::to_string(settings_.max_retained) +
                          " instances (rtd.max_retained_messages); the oldest go");
}

void Router::mark_stored(uint64_t id, uint64_t sequence) {
    auto found = instances_.find(id);
    if (found == instances_.end())
        return; // gone
    Instance &instance = *found->second;
    instance.mark_stored(sequence);
    reschedule(instance);
    drop_if_unused(instance);
}

} // namespace rtd
