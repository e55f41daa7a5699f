// What an instance of an event topic does; the rules are in event_instance.h.
#include "router/event_instance.h"

#include "core/envelope.h"

#include <utility>

namespace rtd {

namespace {

// A crowd of newcomers does not have it read more often.
constexpr int64_t kLoadAgainMs = 1000;
// Those who wait for a reading that does not end are refused after so long.
constexpr int64_t kPatienceMs = 1800;
constexpr int64_t kBusyPatienceMs = 8000; // if all works, and others are served first

} // namespace

// ---- subscribers ----

void EventInstance::subscribe(const link::Subscribe &request, Now now) {
    if (!must_load())
        return answer(request, now);
    join(request.subscription);
    unanswered_.push_back(request);
    if (!answer_by_ms_)
        answer_by_ms_ = now.steady_ms + (host_.has_query_workers() ? kBusyPatienceMs : kPatienceMs);
    bool may_load = !load_failed_ms_ || now.steady_ms >= *load_failed_ms_ + kLoadAgainMs;
    if (load_ == Load::none && may_load)
        load_ = Load::wanted;
}

void EventInstance::answer(const link::Subscribe &request, Now now) {
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

void EventInstance::answer_all(Now now) {
    answer_by_ms_.reset();
    for (const link::Subscribe &request : std::exchange(unanswered_, {}))
        answer(request, now);
}

void EventInstance::unsubscribe(uint64_t subscription) {
    Instance::unsubscribe(subscription);
    std::erase_if(unanswered_,
                  [=](const auto &request) { return request.subscription == subscription; });
    if (!unanswered_.empty())
        return;
    answer_by_ms_.reset();
    if (load_ == Load::wanted)
        load_ = Load::none;
}

std::optional<link::Ended> EventInstance::give_up_waiting(Now now) {
    bool has_failed = load_ == Load::none && load_failed_ms_;
    if (unanswered_.empty() || !(has_failed || now.steady_ms >= *answer_by_ms_))
        return std::nullopt;
    return link::Ended{0, CloseCode::unavailable,
                       "the topic's retained message cannot be read now; try again"};
}

std::vector<uint64_t> EventInstance::waiting_subscriptions() const {
    std::vector<uint64_t> waiting = Instance::waiting_subscriptions();
    for (const link::Subscribe &request : unanswered_)
        waiting.push_back(request.subscription);
    return waiting;
}

std::optional<int64_t> EventInstance::next_deadline_ms() const {
    return answer_by_ms_;
}

// ---- reading the stored message ----

// Not if a newer one has come.
bool EventInstance::must_load() const {
    return topic_->retain && load_ != Load::done && (sequence_ == 0 || has_place_);
}

RetainedRead EventInstance::start_retained_read() {
    RetainedRead read{id_, topic_->name, name()};
    load_ = Load::reading; // now that nothing can fail any more
    return read;
}

void EventInstance::finish_retained_read(const RetainedAnswer &answer, Now now) {
    if (load_ != Load::reading)
        return; // a newer one has come
    load_ = Load::none;
    if (answer.is_failed) {
        load_failed_ms_ = now.steady_ms;
        return;
    }
    load_failed_ms_.reset();
    load(answer.text, now);
    answer_all(now);
}

// The stored message becomes the first one of this instance, with an id of its epoch: whoever has
// the old id may have missed messages that were not stored.
void EventInstance::load(const std::string &stored, Now now) {
    load_ = Load::done;
    std::string stored_at;
    if (!stored.empty()) {
        stored_at = tail_member(stored, "timestamp");
        retained_sequence_ = has_place_ ? 1 : ++sequence_;
        retained_.id = message_id(epoch_, retained_sequence_);
        retained_.body = with_id(stored, tail_member(stored, "id"), retained_.id);
        if (name() != params()) // the message is another subscriber's, or an event's
            retained_.body = with_params(std::move(retained_.body), params());
        if (!has_place_)
            history_.add({epoch_, sequence_}, retained_.body,
                         {history_length(), settings_.history_bytes});
    }
    has_place_ = false;
    if (last_loss_ && gap_.body.empty() && stored_at <= iso_timestamp(last_loss_->wall_us))
        tell_gap(last_loss_->payload, now);
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
    load_ = Load::none;
    has_place_ = unstored_ = false;
    answer_all(now);
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
        load_ = Load::done;
        has_place_ = false;
        unstored_ = true;
        answer_all(now); // they get it as their first message
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
    if (must_load() && sequence_ == 0) {
        sequence_ = 1;
        has_place_ = true;
    }
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
