#include "net/event_stream.h"

#include "core/event_stream.h"
#include "net/control.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace rtd::net {

namespace {

constexpr int kGoodbyeSeconds = 5;

// A browser waits this long before it comes back. Not shorter: all come back at the same time.
constexpr std::string_view kRetry = "retry: 2000\n\n";

} // namespace

// Nothing the client's program does shows that it lives; but its machine acknowledges what it is
// sent, comments included, and the kernel notices if it does not.
EventStream::EventStream(Client client, std::string headers)
    : HttpSession(std::move(client), std::move(headers), true) {
    unsigned timeout_ms = 2 * settings().ping_interval_ms;
    setsockopt(lws_get_socket_fd(wsi()), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
               sizeof timeout_ms);
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

Session::Delivery EventStream::deliver(const Subscription &subscription, Outgoing &message,
                                       QueuePolicy policy) {
    begin();
    return send(message.event(), subscription.id, policy) ? Delivery::taken : Delivery::overflow;
}

Session::Delivery EventStream::notify(const Subscription &subscription, Outgoing &message) {
    return deliver(subscription, message, QueuePolicy::limit);
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
    end(code, reason, &subscription.topic);
}

void EventStream::close(CloseCode code, std::string_view reason) {
    end(code, reason, subscriptions.empty() ? nullptr : &subscriptions.front()->topic);
}

void EventStream::end(CloseCode code, std::string_view reason, const TopicPath *topic) {
    if (is_closing())
        return;
    auto number = static_cast<uint16_t>(code);
    if (!has_begun_)
        return answer(refusal_answer(code, reason, headers()), number, reason);
    queue_.drop_unbegun();
    say(event_stream_event(
        control_message("rtd_error", topic, JsonFields().add_reason(code, reason).text()), "",
        "rtd_error"));
    finish(number, reason);
    give_up_after(kGoodbyeSeconds);
}

bool EventStream::ping() {
    if (is_closing())
        return true;
    begin();
    if (has_nothing_waiting() && !lws_partial_buffered(wsi()))
        write(kEventStreamComment);
    return false;
}

} // namespace rtd::net
