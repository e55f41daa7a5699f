// What an instance of an event topic does; the rules are in event_instance.h.
#include "router/event_instance.h"

#include "core/envelope.h"

namespace rtd {

namespace {

// A crowd of newcomers does not make the hub read more often.
constexpr int64_t kLoadAgainMs = 1000;

} // namespace

// ---- subscribers ----

void EventInstance::subscribe(const link::Subscribe &request, Now now) {
    if (!load_retained(now))
        return admit(request.subscription, true);
    if (resume(request))
        return;
    bool has_gap = !gap_.body.empty();
    bool has_retained = !retained_.body.empty();
    admit(request.subscription, has_retained && !has_gap);
    if (!request.since.empty())
        replay(request.subscription, resume_gap(request.since, now));
    if (!has_gap)
        return;
    if (has_retained)
        replay(request.subscription, retained_);
    replay(request.subscription, gap_);
}

std::optional<link::Ended> EventInstance::give_up_waiting(Now) {
    if (!has_waiting() || !load_failed_ms_)
        return std::nullopt;
    return link::Ended{0, CloseCode::unavailable,
                       "the topic's retained message cannot be read now; try again"};
}

// The stored message becomes the first one of this instance, with an id of its epoch: whoever has
// the old id may have missed messages that were not stored. False: it could not be read.
bool EventInstance::load_retained(Now now) {
    if (loaded_ || !topic_->retain || sequence_ > 0) {
        load_failed_ms_.reset(); // a newer one has come
        return true;
    }
    if (load_failed_ms_ && now.steady_ms < *load_failed_ms_ + kLoadAgainMs)
        return false;
    Result<std::optional<std::string>> stored = host_.load_retained(topic_->name, name());
    if (!stored) {
        load_failed_ms_ = now.steady_ms;
        return false;
    }
    load_failed_ms_.reset();
    loaded_ = true;
    std::string stored_at;
    if (const std::optional<std::string> &message = *stored) {
        stored_at = tail_member(*message, "timestamp");
        retained_.id = message_id(epoch_, ++sequence_);
        retained_.body = with_id(*message, tail_member(*message, "id"), retained_.id);
        if (name() != params()) // the message is another subscriber's, or an event's
            retained_.body = with_params(std::move(retained_.body), params());
        retained_sequence_ = sequence_;
        history_.add(sequence_, retained_, {history_length(), settings_.history_bytes});
    }
    if (last_loss_ && stored_at <= iso_timestamp(last_loss_->wall_us))
        tell_gap(last_loss_->payload, now);
    return true;
}

Sent EventInstance::resume_gap(const std::string &since, Now now) const {
    uint64_t next = sequence_ + 1;
    if (!retained_.body.empty())
        next = retained_sequence_;
    else if (!gap_.body.empty())
        next = gap_sequence_;
    std::optional<MessageId> id = parse_message_id(since);
    std::string_view reason = "what followed the message that was named is no longer known";
    if (id && id->epoch == epoch_)
        reason = id->sequence > sequence_ ? "the message that was named does not exist yet"
                                          : "more was missed than the server keeps";
    return compose(next - 1, "{\"reason\": \"" + std::string(reason) + "\"}", kGapType, "event",
                   "gap", now);
}

void EventInstance::redefine(std::shared_ptr<const Topic> topic, Now now) {
    Instance::redefine(std::move(topic), now);
    if (topic_->retain)
        return;
    retained_ = {};
    gap_ = {};
    loaded_ = unstored_ = false;
}

// ---- events ----

void EventInstance::handle(const Event &event, Now now) {
    switch (event.kind) {
    case EventKind::lost:
        return tell_gap(event.payload, now);
    case EventKind::change:
    case EventKind::broadcast: {
        greet(); // those who came before it get it as a later message
        Sent message = next_message(event, now);
        deliver(message, event.type.empty() ? topic_->type : event.type, event.payload);
        if (!topic_->retain)
            return;
        retained_ = std::move(message);
        retained_sequence_ = sequence_;
        gap_ = {};
        loaded_ = true;
        unstored_ = true;
        return;
    }
    case EventKind::stored:  // of a durable topic
    case EventKind::refresh: // there is no query to refresh
    case EventKind::moved:   // of no topic
    case EventKind::probe:   // the hub's own
        return;
    }
}

void EventInstance::handle_loss(const Loss &loss, Now now) {
    tell_gap(loss.payload, now);
}

void EventInstance::tell_gap(const std::string &payload, Now now) {
    greet();
    Sent gap = next_message(payload, kGapType, "event", "gap", now);
    tell_live(gap);
    if (!topic_->retain)
        return;
    gap_ = std::move(gap);
    gap_sequence_ = sequence_;
}

// ---- the stored message ----

std::optional<RetainedMessage> EventInstance::unstored_message() const {
    if (!unstored_)
        return std::nullopt;
    return RetainedMessage{id_, retained_sequence_, topic_->name, name(), retained_.body};
}

void EventInstance::mark_stored(uint64_t sequence) {
    if (sequence == retained_sequence_) // otherwise a newer one came while this one was written
        unstored_ = false;
}

} // namespace rtd
