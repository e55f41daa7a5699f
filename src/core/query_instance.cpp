// When the query of an instance runs; the rules are in query_instance.h.
#include "core/query_instance.h"

#include <algorithm>

namespace rtd {

namespace {

// For subscribers: the query's own words may quote data, and stay in the server's log.
std::string failure_sentence(const std::string &sqlstate) {
    return "the topic's query failed" + (sqlstate.empty() ? "" : " (SQLSTATE " + sqlstate + ")") +
           "; the server tries again";
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
    // One that resumes is where those are who stayed: it has the newest message, and a query that
    // is due will tell whether there is a newer one.
    if (!resume(request))
        admit(request.subscription, true);
    if (first_message() == nullptr && !coalescer_.running() && !coalescer_.dirty())
        changed(nullptr, Cause::sync, now);
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
    if (std::optional<int64_t> due = coalescer_.due_ms(); due && !is_queued_)
        consider(*due);
    if (next_poll_ms_ > 0)
        consider(next_poll_ms_);
    if (settings_.resync_interval_ms > 0)
        consider(last_event_ms_ + settings_.resync_interval_ms);
    return next;
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
    std::optional<int64_t> due = coalescer_.due_ms();
    if (is_queued_ || !due || *due > now.steady_ms)
        return false;
    is_queued_ = true;
    return true;
}

// ---- runs ----

QueryJob QueryInstance::start_query(Now now) {
    is_queued_ = false;
    run_cause_ = coalescer_.start(now.steady_ms);
    host_.clear_changed(key_, topic_key(topic_->name));
    return {id_, topic_, params(), identity_, {}};
}

void QueryInstance::finish_query(const QueryOutcome &outcome, Now now) {
    if (outcome.status == QueryOutcome::Status::ok) {
        coalescer_.succeeded();
        is_outdated_ = false;
        return apply(outcome, now);
    }
    int64_t retry_ms = coalescer_.failed(now.steady_ms, run_cause_);
    host_.log_warning("[EVENT_BROADCAST] Error broadcasting " + topic_->type +
                      " update: " + outcome.text + " (topic \"" + topic_->name +
                      "\", next attempt in " + std::to_string(retry_ms) + " ms)");
    tell_error(CloseCode::unavailable, failure_sentence(outcome.sqlstate), now);
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
