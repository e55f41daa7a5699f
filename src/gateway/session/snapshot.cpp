#include "gateway/session/snapshot.h"

#include "gateway/http/http_request.h"

namespace rtd::net {

namespace {

constexpr std::string_view kDone = "answered";

} // namespace

Snapshot::Snapshot(Environment &environment, AdmittedSocket socket, Client client,
                   std::string headers, bool with_body, std::string if_none_match)
    : HttpSession(environment, std::move(socket), std::move(client), std::move(headers), with_body),
      if_none_match_(std::move(if_none_match)) {
    environment.snapshots.begin(wait());
}

Session::Delivery Snapshot::deliver(const Subscription &, Outgoing &messages, QueuePolicy) {
    if (is_closing())
        return Delivery::enough;
    std::string etag = "\"" + messages.id() + "\"";
    Answer head;
    head.headers = headers() + "ETag: " + etag + "\r\nCache-Control: private, no-cache\r\n";
    if (matches_etag(if_none_match_, etag)) {
        head.status = 304;
        answer(head, kNormalClosure, kDone);
        return Delivery::enough;
    }
    say(render_head(head, messages.plain()->size()));
    if (with_body())
        send(messages.plain(), 0, QueuePolicy::keep);
    finish(kNormalClosure, kDone);
    return Delivery::enough;
}

Session::Delivery Snapshot::on_subscribed(Subscription &subscription,
                                          const link::Subscribed &subscribed) {
    if (subscribed.awaits_first || subscribed.first_follows)
        return Delivery::taken;
    close(CloseCode::unknown_topic,
          "topic \"" + subscription.topic.topic + "\" has no message to give yet");
    return Delivery::enough;
}

void Snapshot::on_ended(Subscription &, CloseCode code, const std::string &reason) {
    close(code, reason);
}

void Snapshot::close(CloseCode code, std::string_view reason) {
    if (!is_closing())
        refuse(code, reason);
}

void Snapshot::on_late() {
    constexpr std::string_view kLate = "the topic's first message did not come in time";
    count_refusal(Refusals::Thing::subscription, RefusalReason::slow_answer, kLate);
    answer(error_answer(504, RefusalReason::slow_answer, kLate, headers() + "Retry-After: 1\r\n"),
           static_cast<uint16_t>(CloseCode::unavailable), kLate);
}

} // namespace rtd::net
