// When the query of an instance runs; the rules are in query_instance.h.
#include "router/query_instance.h"

#include "core/envelope.h"
#include "core/json_text.h"

#include <algorithm>

namespace rtd {

namespace {

// Those who come while a query fails hear of it within two seconds: the next run begins at most one
// second after the last failure (see coalescer.h), and has the rest of this time for its outcome.
constexpr int64_t kNewcomersPatienceMs = 1500;
// The same if there is no query worker. If there are some and all are busy, it takes longer.
constexpr int64_t kWorkerlessPatienceMs = 1500;
constexpr int64_t kBusyPatienceMs = 8'000;
constexpr int64_t kLookMs = 500;
// Those who cannot be told that their state is stale keep it for so long.
constexpr int64_t kStaleGraceMs = 10'000;

// For subscribers: the query's own words may quote data, and stay in the server's log.
std::string failure_sentence(const std::string &sqlstate) {
    return "the topic's query failed" + (sqlstate.empty() ? "" : " (SQLSTATE " + sqlstate + ")") +
           "; the server tries again";
}

std::string error_data(const link::Ended &reason) {
    return "{\"code\":" + std::to_string(static_cast<uint16_t>(reason.code)) +
           ",\"message\":" + json_quote(reason.reason) + "}";
}

} // namespace

QueryInstance::QueryInstance(InstanceSetup setup, Now now)
    : Instance(std::move(setup)), coalescer_(topic_->throttle_ms, topic_->debounce_ms),
      last_event_ms_(now.steady_ms) {
    if (topic_->refresh_ms > 0)
        next_poll_ms_ = now.steady_ms + topic_->refresh_ms;
}

void QueryInstance::redefine(std::shared_ptr<const Topic> topic, Now now) {
    if (!topic->same_results(*topic_))
        forget_result();
    if (topic->refresh_ms != topic_->refresh_ms)
        next_poll_ms_ = topic->refresh_ms > 0 ? now.steady_ms + topic->refresh_ms : 0;
    Instance::redefine(std::move(topic), now);
    coalescer_.set_intervals(topic_->throttle_ms, topic_->debounce_ms);
    coalescer_.skip_backoff();
    changed(nullptr, Cause::sync, now);
}

void QueryInstance::subscribe(const link::Subscribe &request, Now now) {
    if (subscriptions().empty()) {
        run_timers(now);
        is_outdated_ = coalescer_.dirty() || coalescer_.running();
        // The next result is for this subscriber, whatever happened before.
        coalescer_.relabel(Cause::sync);
        run_cause_ = Cause::sync;
    }
    if (is_failing()) {
        coalescer_.hasten();
        if (!has_waiting())
            answer_by_ms_ = now.steady_ms + kNewcomersPatienceMs;
        admit(request.subscription, true); // also one that has the newest message: it is stale
    } else if (!resume(request)) {
        // One that resumes is where those are who stayed: it has the newest message, and a query
        // that is due will tell whether there is a newer one.
        admit(request.subscription, true);
    }
    if (first_message() == nullptr && !coalescer_.running() && !coalescer_.dirty())
        changed(nullptr, Cause::sync, now);
}

std::optional<link::Ended> QueryInstance::give_up_waiting(Now now) {
    if (!has_waiting())
        return std::nullopt;
    if (failure_ && now.steady_ms >= answer_by_ms_)
        return failure_->reason;
    if (std::exchange(found_no_worker_, false))
        return link::Ended{0, CloseCode::unavailable,
                           "no query worker is free to run the topic's query; try again"};
    return std::nullopt;
}

// ---- events ----

void QueryInstance::handle(const Event &event, Now now) {
    last_event_ms_ = now.steady_ms;
    if (event.kind == EventKind::broadcast)
        return publish(event, now);
    if (event.kind == EventKind::refresh)
        coalescer_.skip_backoff();
    changed(&event, Cause::event, now);
    // Quiet can only be told by hearing of every change.
    if (topic_->debounce_ms > 0 && !subscriptions().empty())
        host_.clear_changed(key_, topic_key(topic_->name));
}

void QueryInstance::handle_loss(const Loss &, Now now) {
    changed(nullptr, Cause::sync, now);
}

void QueryInstance::publish(const Event &event, Now now) {
    deliver(next_message(event, now), event.type.empty() ? topic_->type : event.type,
            event.payload);
}

void QueryInstance::changed(const Event *event, Cause cause, Now now) {
    if (event != nullptr && host_.logs_events())
        last_payload_ = event->payload;
    coalescer_.changed(now.steady_ms, cause);
}

// ---- time ----

std::optional<int64_t> QueryInstance::next_deadline_ms() const {
    if (subscriptions().empty())
        return std::nullopt;
    std::optional<int64_t> next;
    auto consider = [&](int64_t at) { next = next ? std::min(*next, at) : at; };
    if (is_queued_ && !failure_)
        consider(next_look_ms_);
    if (std::optional<int64_t> due = coalescer_.due_ms(); due && !is_queued_)
        consider(*due);
    if (next_poll_ms_ > 0)
        consider(next_poll_ms_);
    if (settings_.resync_interval_ms > 0)
        consider(last_event_ms_ + settings_.resync_interval_ms);
    if (std::optional<int64_t> end = patience_ends_ms())
        consider(*end);
    if (failure_ && !failure_->has_ended_untold && has_live())
        consider(failure_->since_ms + kStaleGraceMs);
    return next;
}

// When those who wait must be looked at.
std::optional<int64_t> QueryInstance::patience_ends_ms() const {
    if (!has_waiting())
        return std::nullopt;
    if (failure_)
        return answer_by_ms_;
    return is_queued_ ? std::optional(next_look_ms_) : std::nullopt;
}

// What its subscribers have may be stale for as long as the lock is held.
void QueryInstance::note_lock(Now now) {
    if (!failure_)
        tell_failure({0, CloseCode::unavailable,
                      "the topic's query waits for a lock that somebody else holds; the server "
                      "tries again"},
                     now);
}

void QueryInstance::run_timers(Now now) {
    if (next_poll_ms_ > 0 && next_poll_ms_ <= now.steady_ms) {
        next_poll_ms_ = now.steady_ms + topic_->refresh_ms;
        changed(nullptr, Cause::poll, now);
    }
    if (settings_.resync_interval_ms > 0 &&
        last_event_ms_ + settings_.resync_interval_ms <= now.steady_ms) {
        last_event_ms_ = now.steady_ms;
        changed(nullptr, Cause::sync, now);
    }
}

bool QueryInstance::tick(Now now) {
    run_timers(now);
    if (failure_ && now.steady_ms >= failure_->since_ms + kStaleGraceMs)
        end_untold(now);
    if (is_queued_ && now.steady_ms >= next_look_ms_) {
        next_look_ms_ = now.steady_ms + kLookMs;
        if (locked_topics_.contains(topic_->name))
            note_lock(now);
        found_no_worker_ = has_waiting() && (!host_.has_query_workers() ||
                                             now.steady_ms >= queued_at_ms_ + kBusyPatienceMs);
    }
    std::optional<int64_t> due = coalescer_.due_ms();
    if (is_queued_ || !due || *due > now.steady_ms)
        return false;
    is_queued_ = true;
    if (!met_lock_)
        queued_at_ms_ = now.steady_ms;
    next_look_ms_ = std::max(now.steady_ms, queued_at_ms_ + kWorkerlessPatienceMs);
    return true;
}

void QueryInstance::end_untold(Now) {
    if (std::exchange(failure_->has_ended_untold, true) || !has_live())
        return;
    host_.send(link::EndUntold{id_, failure_->reason.code, failure_->reason.reason},
               subscriptions());
}

// ---- runs ----

QueryJob QueryInstance::start_query(Now now) {
    is_queued_ = false;
    run_cause_ = coalescer_.start(now.steady_ms);
    host_.clear_changed(key_, topic_key(topic_->name));
    return {id_, topic_, params(), identity_, {}};
}

void QueryInstance::finish_query(const QueryOutcome &outcome, Now now) {
    met_lock_ = outcome.status == QueryOutcome::Status::locked;
    if (met_lock_)
        return coalescer_.gave_back(now.steady_ms, run_cause_);
    if (outcome.status != QueryOutcome::Status::ok)
        return note_failure(outcome, now);
    coalescer_.succeeded();
    is_outdated_ = false;
    bool was_failing = std::exchange(failure_, std::nullopt).has_value();
    note_altered(outcome);
    apply(outcome, now);
    if (was_failing && first_message() != nullptr)
        tell_control("rtd_current", "{\"id\":" + json_quote(message_id(epoch_, sequence_)) + "}",
                     now);
}

// Once, not for every result that has the same value in it.
void QueryInstance::note_altered(const QueryOutcome &outcome) {
    if (outcome.altered.empty() || outcome.altered == altered_)
        return;
    altered_ = outcome.altered;
    host_.log_warning("[EVENT_BROADCAST] A result of topic \"" + topic_->name +
                      "\" is sent with values spelled out: " + outcome.altered);
}

void QueryInstance::note_failure(const QueryOutcome &outcome, Now now) {
    int64_t retry_ms = coalescer_.failed(now.steady_ms, run_cause_);
    link::Ended reason{0, CloseCode::unavailable, failure_sentence(outcome.sqlstate)};
    switch (outcome.status) {
    case QueryOutcome::Status::bad_parameter:
        reason = {0, CloseCode::bad_request, outcome.text};
        break;
    case QueryOutcome::Status::forbidden:
        reason = {0, CloseCode::forbidden, outcome.text};
        break;
    case QueryOutcome::Status::failed:
    case QueryOutcome::Status::locked:
    case QueryOutcome::Status::ok:
        host_.log_warning("[EVENT_BROADCAST] Error broadcasting " + topic_->type +
                          " update: " + outcome.text + " (topic \"" + topic_->name +
                          "\", next attempt in " + std::to_string(retry_ms) + " ms)");
        break;
    }
    tell_failure(std::move(reason), now);
}

void QueryInstance::tell_failure(link::Ended reason, Now now) {
    bool is_news = !failure_ || failure_->reason.reason != reason.reason;
    if (failure_)
        failure_->reason = std::move(reason);
    else
        failure_ = Failure{std::move(reason), now.steady_ms};
    answer_by_ms_ = now.steady_ms; // those who waited for this run hear of it
    if (is_news)
        tell_control("rtd_error", error_data(failure_->reason), now);
}

void QueryInstance::discard_query(Now now) {
    coalescer_.succeeded();
    changed(nullptr, run_cause_, now);
}

std::string_view QueryInstance::run_source() const {
    switch (run_cause_) {
    case Cause::sync:
        return "sync";
    case Cause::poll:
        return "poll";
    case Cause::event:
        return "event";
    }
    return "";
}

} // namespace rtd
