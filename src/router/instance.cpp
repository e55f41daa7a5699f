// What instances of all kinds share; the rules are in instance.h.
#include "router/instance.h"

#include "core/envelope.h"
#include "router/durable_instance.h"
#include "router/event_instance.h"
#include "router/keyed_instance.h"
#include "router/state_instance.h"

#include <cassert>

namespace rtd {

using link::TopicKind;

Instance::Instance(InstanceSetup setup)
    : host_(setup.host), settings_(setup.settings), locked_topics_(setup.locked_topics),
      id_(setup.id), epoch_(setup.epoch), topic_(std::move(setup.topic)),
      params_(std::move(setup.params)), identity_(std::move(setup.identity)),
      key_(instance_key(topic_->name, params_.name())) {}

std::unique_ptr<Instance> make_instance(InstanceSetup setup, Now now) {
    switch (setup.topic->kind) {
    case TopicKind::event:
        if (setup.topic->is_durable)
            return std::make_unique<DurableInstance>(std::move(setup));
        return std::make_unique<EventInstance>(std::move(setup));
    case TopicKind::keyed:
        return std::make_unique<KeyedInstance>(std::move(setup), now);
    case TopicKind::state:
        return std::make_unique<StateInstance>(std::move(setup), now);
    }
    return nullptr;
}

void Instance::prefetch(const Instance *instance) {
    constexpr size_t kLine = 64; // of the cache
    const char *start = reinterpret_cast<const char *>(instance);
    for (size_t line = 0; line < sizeof(EventInstance); line += kLine)
        __builtin_prefetch(start + line);
}

void Instance::prefetch_parts() const {
    __builtin_prefetch(params_.texts.data());
    __builtin_prefetch(subscriptions_.gateways().data());
    history_.prefetch();
}

// ---- subscribers ----

void Instance::admit(uint64_t subscription, bool awaits_first, bool recovered) {
    subscriptions_.insert(subscription);
    if (awaits_first)
        waiting_.insert(subscription);
    host_.send(link::Subscribed{subscription, id_, topic_->kind, awaits_first, recovered, false,
                                params()});
}

void Instance::admit_with(uint64_t subscription, const Sent &first) {
    subscriptions_.insert(subscription);
    host_.send(link::Subscribed{subscription, id_, topic_->kind, false, false, true, params()});
    replay(subscription, first);
}

bool Instance::resume(const link::Subscribe &request) {
    std::optional<MessageId> since = parse_message_id(request.since);
    return since && since->epoch == epoch_ && resume_after(request.subscription, since->sequence);
}

bool Instance::resume_after(uint64_t subscription, uint64_t sequence) {
    if (!history_.covers(sequence))
        return false;
    admit(subscription, false, true);
    history_.replay(sequence, [&](const Sent &message) { replay(subscription, message); });
    return true;
}

void Instance::replay(uint64_t subscription, const Sent &message) {
    host_.send(link::Replayed{subscription, message.body, message.id});
}

void Instance::unsubscribe(uint64_t subscription) {
    subscriptions_.erase(subscription);
    waiting_.erase(subscription);
}

void Instance::greet() {
    if (!can_greet())
        return;
    const Sent *first = first_message();
    host_.send(link::Message{id_, link::Audience::waiting, first->body, first->id}, waiting_);
    waiting_.clear();
}

// ---- messages ----

Sent Instance::compose(uint64_t sequence, std::string_view data, std::string_view type,
                       std::string_view source, std::string_view kind, Now now) const {
    Sent message{message_id(epoch_, sequence), {}};
    message.body = to_json({.type = type,
                            .data = data,
                            .timestamp_us = now.wall_us,
                            .source = source,
                            .topic = topic_->name,
                            .params = &params_.texts,
                            .id = message.id,
                            .kind = kind});
    return message;
}

Sent Instance::next_message(std::string_view data, std::string_view type, std::string_view source,
                            std::string_view kind, Now now) {
    Sent message = compose(++sequence_, data, type, source, kind, now);
    history_.add({epoch_, sequence_}, message.body, {history_length(), settings_.history_bytes});
    return message;
}

Sent Instance::next_message(const Event &event, Now now) {
    std::string_view type = event.type.empty() ? topic_->type : event.type;
    std::string_view source = event.source.empty() ? "event" : std::string_view(event.source);
    return next_message(event.payload, type, source, "event", now);
}

void Instance::tell_live(const Sent &message) {
    if (has_live())
        host_.send(link::Message{id_, link::Audience::live, message.body, message.id},
                   subscriptions_);
}

void Instance::deliver(const Sent &message, std::string_view type, std::string_view payload) {
    tell_live(message);
    if (!host_.logs_events())
        return;
    if (subscriptions_.empty())
        host_.log_event("[EVENT_BROADCAST] Skipping " + std::string(type) +
                        " broadcast - no active connections");
    else
        host_.log_event("[EVENT_BROADCAST] Broadcasted " + std::string(type) + " update to " +
                        std::to_string(subscriptions_.size()) +
                        " clients (operation=" + json_member(payload, "operation") +
                        ", id=" + json_second_member(payload) + ")");
}

void Instance::tell_control(std::string_view type, std::string_view data, Now now) {
    if (!has_live())
        return;
    host_.send(link::Control{id_, to_json({.type = type,
                                           .data = data,
                                           .timestamp_us = now.wall_us,
                                           .source = "event",
                                           .topic = topic_->name,
                                           .params = &params_.texts,
                                           .kind = "control"})},
               subscriptions_);
}

// ---- queries: only of kinds that have one ----

QueryJob Instance::start_query(Now) {
    assert(!"a topic without a query");
    return {};
}

void Instance::finish_query(const QueryOutcome &, Now) {
    assert(!"a topic without a query");
}

void Instance::discard_query(Now) {
    assert(!"a topic without a query");
}

// ---- reading: only of durable topics ----

ReadJob Instance::next_read() const {
    assert(!"a topic that is not durable");
    return {};
}

} // namespace rtd
