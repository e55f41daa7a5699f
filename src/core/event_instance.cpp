// What an instance of an event topic does; the rules are in event_instance.h.
#include "core/event_instance.h"

#include "core/envelope.h"
#include "core/json_text.h"

namespace rtd {

namespace {

constexpr std::string_view kGapType = "rtd_gap";

} // namespace

void EventInstance::subscribe(const link::Subscribe &request, Now) {
    load_retained();
    admit(request.subscription, first_message() != nullptr);
}

void EventInstance::load_retained() {
    if (loaded_ || !topic_->retain)
        return;
    loaded_ = true;
    if (std::optional<std::string> body = host_.load_retained(topic_->name, params_))
        retained_ = {json_member(*body, "id"), *body};
}

void EventInstance::handle(const Event &event, Now now) {
    switch (event.kind) {
    case EventKind::lost:
        return tell_gap(event.payload, now);
    case EventKind::change:
    case EventKind::broadcast: {
        Sent message = next_message(event, now);
        if (topic_->retain) {
            retained_ = message;
            loaded_ = true;
            unstored_ = true;
        }
        return deliver(message, event.type.empty() ? topic_->type : event.type, event.payload);
    }
    case EventKind::stored:  // of a durable topic
    case EventKind::refresh: // there is no query to refresh
    case EventKind::probe:   // the hub's own
        return;
    }
}

void EventInstance::handle_loss(const std::string &reason, Now now) {
    tell_gap("{\"reason\": " + json_quote(reason) + "}", now);
}

void EventInstance::tell_gap(const std::string &payload, Now now) {
    if (!has_live())
        return; // nobody who could have missed something
    Sent gap = next_message(payload, kGapType, "event", "gap", now);
    host_.send(link::Message{id_, link::Audience::live, gap.body, gap.id});
}

std::optional<RetainedMessage> EventInstance::unstored_message() const {
    if (!unstored_)
        return std::nullopt;
    return RetainedMessage{id_, sequence_, topic_->name, params_, retained_.body};
}

void EventInstance::mark_stored(uint64_t sequence) {
    if (sequence == sequence_) // otherwise a newer one came while this one was written
        unstored_ = false;
}

} // namespace rtd
