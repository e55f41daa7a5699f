#include "gateway/session/event_stream.h"

#include "gateway/session/control.h"
#include "gateway/session/sse_format.h"

namespace rtd::net {

namespace {

// A browser waits this long before it comes back. Not shorter: all come back at the same time.
constexpr std::string_view kRetry = "retry: 2000\n\n";

} // namespace

// Nothing the client's program does shows that it lives; but its machine acknowledges what it is
// sent, comments included, and the kernel notices if it does not.
EventStream::EventStream(Environment &environment, AdmittedSocket socket, Client client,
                         std::string headers)
    : HttpSession(environment, std::move(socket), std::move(client), std::move(headers), true) {
    this->socket().set_acknowledge_timeout(2 * settings().ping_interval_ms);
}

void EventStream::begin() {
    if (std::exchange(has_begun_, true))
        return;
    // X-Accel-Buffering keeps nginx from waiting for more.
    say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
        "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n" +
        headers() + "Connection: close\r\n\r\n" + std::string(kRetry) +
        std::exchange(greeting_, {}));
}

Session::Delivery EventStream::deliver(const Subscription &subscription, Outgoing &messages,
                                       QueuePolicy policy) {
    begin();
    return send(messages.events(), subscription.id, policy) ? Delivery::taken : Delivery::overflow;
}

Session::Delivery EventStream::notify(const Subscription &subscription, Outgoing &messages) {
    return deliver(subscription, messages, QueuePolicy::limit);
}

Session::Delivery EventStream::on_subscribed(Subscription &subscription,
                                             const link::Subscribed &subscribed) {
    JsonFields data;
    data.add("recovered", subscribed.recovered ? "true" : "false");
    std::string message = control_message("rtd_subscribed", &subscription.topic, data.text());
    greeting_ = event_stream_event(message, "", "rtd_subscribed");
    if (has_begun_)
        say(std::exchange(greeting_, {}));
    else if (!subscribed.awaits_first)
        begin();
    return Delivery::taken;
}

void EventStream::on_ended(Subscription &subscription, CloseCode code, const std::string &reason) {
    if (subscription.is_accepted && is_worth_reconnecting(code) && !is_closing())
        begin();
    finish_with(code, reason, &subscription.topic);
}

void EventStream::close(CloseCode code, std::string_view reason) {
    finish_with(code, reason, subscriptions.empty() ? nullptr : &subscriptions.front()->topic);
}

void EventStream::finish_with(CloseCode code, std::string_view reason, const TopicPath *topic) {
    if (is_closing())
        return;
    if (!has_begun_)
        return refuse(code, reason);
    cut_waiting();
    say(event_stream_event(
        control_message("rtd_error", topic, JsonFields().add_reason(code, reason).text()), "",
        "rtd_error"));
    if (is_refusal(code))
        count_refusal(Refusals::Thing::subscription, code, reason);
    finish(static_cast<uint16_t>(code), reason);
}

bool EventStream::ping() {
    if (is_closing())
        return true;
    begin();
    if (queue_.empty())
        say(std::string(kEventStreamComment));
    return false;
}

} // namespace rtd::net
