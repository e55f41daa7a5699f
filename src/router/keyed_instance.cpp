// What an instance of a keyed topic does; the rules are in keyed_instance.h.
#include "router/keyed_instance.h"

namespace rtd {

// ---- what may have changed ----

void KeyedInstance::changed(const Event *event, Cause cause, Now now) {
    // A writer that began before the topic was altered, or hears of it before the hub, names rows
    // by the columns of another definition.
    if (event != nullptr && event->kind == EventKind::change &&
        (event->key.empty() || event->version == topic_->version))
        dirty_.add(event->key);
    else
        dirty_.add_all();
    QueryInstance::changed(event, cause, now);
}

QueryJob KeyedInstance::start_query(Now now) {
    reading_ = dirty_.take();
    if (!rows_)
        reading_ = {true, {}};
    read_.clear();
    QueryJob job = QueryInstance::start_query(now);
    job.selection = reading_;
    return job;
}

std::optional<QueryJob> KeyedInstance::continue_query(const QueryOutcome &outcome) {
    KeySelection more = dirty_.beyond(reading_);
    if (more.empty())
        return std::nullopt;
    read_ = outcome.rows;
    return QueryJob{id_, topic_, params(), identity_, std::move(more)};
}

void KeyedInstance::finish_query(const QueryOutcome &outcome, Now now) {
    if (outcome.status != QueryOutcome::Status::ok)
        dirty_.add(reading_); // with those it went on to read, which are dirty still
    QueryInstance::finish_query(outcome, now);
}

// ---- messages ----

void KeyedInstance::apply(const QueryOutcome &outcome, Now now) {
    if (!rows_)
        return start_over(outcome, now);
    std::optional<std::string> delta;
    if (outcome.has_all) {
        delta = rows_->apply_all(outcome.rows);
    } else {
        read_.insert(read_.end(), outcome.rows.begin(), outcome.rows.end());
        delta = rows_->apply(read_);
    }
    read_.clear();
    if (rows_->snapshot_bytes() > settings_.max_message_bytes) {
        // Only the query of all rows says what is wrong, and goes on saying it until they fit
        // again.
        forget_result();
        changed(nullptr, Cause::sync, now);
    } else if (delta && delta->size() > settings_.max_message_bytes)
        send_snapshot(now);
    else if (delta)
        send_delta(*delta, now);
}

void KeyedInstance::forget_result() {
    rows_.reset();
    snapshot_ = {};
}

void KeyedInstance::start_over(const QueryOutcome &outcome, Now now) {
    rows_.emplace().assign(outcome.rows);
    send_snapshot(now);
}

void KeyedInstance::send_snapshot(Now now) {
    changed_at_ = now;
    source_ = run_source();
    snapshot_ = next_message(rows_->snapshot(), topic_->type, source_, "snapshot", now);
    deliver(snapshot_, topic_->type, last_payload());
}

void KeyedInstance::send_delta(const std::string &delta, Now now) {
    changed_at_ = now;
    source_ = run_source();
    snapshot_ = {};
    deliver(next_message(delta, topic_->type, source_, "delta", now), topic_->type, last_payload());
}

void KeyedInstance::publish(const Event &event, Now now) {
    snapshot_ = {}; // its id is the newest message's
    QueryInstance::publish(event, now);
}

size_t KeyedInstance::kept_bytes() const {
    return QueryInstance::kept_bytes() + snapshot_.body.size() +
           (rows_ ? rows_->snapshot_bytes() : 0);
}

const Sent *KeyedInstance::first_message() {
    if (!rows_)
        return nullptr;
    if (snapshot_.body.empty())
        snapshot_ =
            compose(sequence_, rows_->snapshot(), topic_->type, source_, "snapshot", changed_at_);
    return &snapshot_;
}

} // namespace rtd
