#include "gateway/session/multiplexed.h"

#include "core/json_text.h"

#include <algorithm>
#include <uv.h>

namespace rtd::net {

namespace {

constexpr size_t kMaxPublishing = 100; // that wait for the hub's answer, of one client

uint64_t now_ms() {
    return uv_hrtime() / 1'000'000;
}

} // namespace

// ---- what the client says ----

void MultiplexedWebSocket::on_message(bool is_text, std::string_view text) {
    if (!is_text)
        return give_up(CloseCode::not_text, "a message must be text");
    ParsedClientMessage parsed = parse_client_message(text);
    uint32_t rate = settings().client_message_rate;
    TokenBucket::Answer answer = bucket_.take(rate, now_ms());
    if (answer != TokenBucket::Answer::granted) {
        std::string sentence =
            "at most " + std::to_string(rate) + " messages a second are taken from a client";
        if (answer == TokenBucket::Answer::abused)
            return give_up(CloseCode::too_many, sentence);
        return refuse(CloseCode::too_many, sentence, nullptr, parsed.ref);
    }
    if (!parsed.message) { // what has an `action` is held to what it says
        std::optional<Heartbeat> heartbeat = parse_heartbeat(text);
        if (heartbeat && !heartbeat->is_action)
            return answer_heartbeat(*heartbeat);
        return refuse(CloseCode::bad_request, parsed.message.error(), nullptr, parsed.ref);
    }
    carry_out(std::move(*parsed.message), parsed.ref);
}

void MultiplexedWebSocket::give_up(CloseCode code, std::string_view sentence) {
    count_refusal(Refusals::Thing::message, code, sentence);
    end(code, sentence);
}

void MultiplexedWebSocket::carry_out(ClientMessage message, const std::string &ref) {
    switch (message.action) {
    case ClientMessage::Action::subscribe:
        return subscribe(std::move(message), ref);
    case ClientMessage::Action::unsubscribe:
        return unsubscribe(message, ref);
    case ClientMessage::Action::publish:
        return publish(std::move(message), ref);
    case ClientMessage::Action::ping:
        return this->answer("rtd_pong", nullptr, JsonFields().add("ref", ref));
    }
}

void MultiplexedWebSocket::subscribe(ClientMessage message, const std::string &ref) {
    if (find(message.topic))
        return refuse(CloseCode::bad_request, "this is subscribed already", &message.topic, ref);
    uint32_t most = settings().max_subscriptions_per_client;
    if (subscriptions.size() >= most)
        return refuse(CloseCode::too_many,
                      "a client may have at most " + std::to_string(most) + " subscriptions",
                      &message.topic, ref);
    registry().open(*this, std::move(message.topic), std::move(message.since), ref);
}

void MultiplexedWebSocket::unsubscribe(const ClientMessage &message, const std::string &ref) {
    Subscription *subscription = find(message.topic);
    if (!subscription)
        return refuse(CloseCode::bad_request, "this is not subscribed", &message.topic, ref);
    TopicPath topic = subscription->topic;
    registry().close(*subscription);
    answer("rtd_unsubscribed", &topic, JsonFields().add("ref", ref));
}

void MultiplexedWebSocket::publish(ClientMessage message, const std::string &ref) {
    if (publishing_.size() >= kMaxPublishing)
        return refuse(CloseCode::too_many,
                      std::to_string(kMaxPublishing) + " messages to publish wait already",
                      &message.topic, ref);
    uint64_t request = ++last_request_;
    environment().hub.send(link::Publish{id(), request, message.topic.topic, message.topic.params,
                                         std::move(message.data), std::move(message.type)});
    publishing_.emplace(request, Publishing{std::move(message.topic), ref});
}

// By the parameters as the client wrote them, or as messages have them.
Subscription *MultiplexedWebSocket::find(const TopicPath &topic) {
    auto found = std::ranges::find_if(subscriptions, [&](const auto &subscription) {
        return subscription->topic == topic ||
               (subscription->topic.topic == topic.topic && !subscription->asked.empty() &&
                subscription->asked == topic.params);
    });
    return found != subscriptions.end() ? found->get() : nullptr;
}

// The same instance as another subscription, in another spelling.
bool MultiplexedWebSocket::is_second(const Subscription &subscription) const {
    return std::ranges::any_of(subscriptions, [&](const auto &other) {
        return other.get() != &subscription && other->is_accepted &&
               other->topic == subscription.topic;
    });
}

// ---- what the hub says ----

Session::Delivery MultiplexedWebSocket::notify(const Subscription &subscription,
                                               Outgoing &messages) {
    return deliver(subscription, messages, QueuePolicy::limit);
}

Session::Delivery MultiplexedWebSocket::on_subscribed(Subscription &subscription,
                                                      const link::Subscribed &subscribed) {
    if (is_second(subscription)) {
        refuse(CloseCode::bad_request, "this is subscribed already", &subscription.topic,
               subscription.ref);
        return Delivery::enough;
    }
    answer("rtd_subscribed", &subscription.topic,
           JsonFields()
               .add("recovered", subscribed.recovered ? "true" : "false")
               .add("asked", subscription.asked.empty() ? "" : json_array(subscription.asked))
               .add("ref", subscription.ref));
    return Delivery::taken;
}

// rtd_error refuses a request; rtd_unsubscribed ends what was. A subscription that was accepted and
// ends before its first message is both.
void MultiplexedWebSocket::on_ended(Subscription &subscription, CloseCode code,
                                    const std::string &reason) {
    bool has_first = subscription.is_accepted && subscription.audience == link::Audience::live;
    if (!has_first || is_refusal(code))
        count_refusal(Refusals::Thing::subscription, code, reason);
    if (!has_first)
        answer_error(code, reason, &subscription.topic, subscription.ref);
    if (!subscription.is_accepted)
        return;
    answer("rtd_unsubscribed", &subscription.topic, JsonFields().add_reason(code, reason));
}

void MultiplexedWebSocket::on_published(const link::Published &published) {
    auto found = publishing_.find(published.request);
    if (found == publishing_.end())
        return;
    Publishing publishing = std::move(found->second);
    publishing_.erase(found);
    if (published.is_refused)
        return refuse(published.code, published.reason, &publishing.topic, publishing.ref);
    answer("rtd_published", &publishing.topic,
           JsonFields()
               .add("subscribers", std::to_string(published.subscribers))
               .add("ref", publishing.ref));
}

// ---- answers ----

void MultiplexedWebSocket::answer(std::string_view type, const TopicPath *topic,
                                  const JsonFields &data) {
    auto message =
        std::make_shared<const WireMessage>(ws_message(control_message(type, topic, data.text())));
    constexpr uint64_t kOfNoSubscription = 0;
    if (!send(message, kOfNoSubscription, QueuePolicy::limit))
        end(CloseCode::too_slow, meaning(CloseCode::too_slow));
}

void MultiplexedWebSocket::refuse(CloseCode code, std::string_view sentence, const TopicPath *topic,
                                  const std::string &ref) {
    count_refusal(Refusals::Thing::message, code, sentence);
    answer_error(code, sentence, topic, ref);
}

void MultiplexedWebSocket::answer_error(CloseCode code, std::string_view sentence,
                                        const TopicPath *topic, const std::string &ref) {
    answer("rtd_error", topic, JsonFields().add_reason(code, sentence).add("ref", ref));
}

} // namespace rtd::net
