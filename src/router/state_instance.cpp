// What an instance of a state topic does; the rules are in state_instance.h.
#include "router/state_instance.h"

#include <utility>

namespace rtd {

void StateInstance::publish(const Event &event, Now now) {
    // What clients show is no longer the state: the next result is sent even if it is equal.
    last_sent_is_state_ = false;
    QueryInstance::publish(event, now);
}

void StateInstance::subscribe(const link::Subscribe &request, Now now) {
    QueryInstance::subscribe(request, now);
    if (held_back_ && !is_failing()) {
        HeldBack state = *std::exchange(held_back_, std::nullopt);
        send_state(state.data, state.hash, state.source, now);
    }
    owes_newest_ = owes_newest_ || !is_current();
}

QueryJob StateInstance::start_query(Now now) {
    QueryJob job = QueryInstance::start_query(now);
    if (!topic_->significant.empty() && last_sent_is_state_)
        job.last_message = state_.body;
    compared_with_ = sequence_;
    return job;
}

void StateInstance::forget_result() {
    state_ = {};
    last_sent_is_state_ = false;
    held_back_.reset();
}

void StateInstance::apply(const QueryOutcome &outcome, Now now) {
    held_back_.reset();
    if (!outcome.warning.empty() && !significant_failed_)
        host_.log_warning("[EVENT_BROADCAST] The significant function of topic \"" + topic_->name +
                          "\" failed: " + outcome.warning + " (until it works, states are sent)");
    significant_failed_ = !outcome.warning.empty();
    bool is_owed = std::exchange(owes_newest_, owes_newest_ && !is_current());
    bool equal = first_message() != nullptr && hash_ == outcome.hash;
    if (equal && last_sent_is_state_)
        return;
    // Unless something else was sent since: then nobody has compared the result with that.
    bool is_awaited = is_owed || has_waiting();
    if (!outcome.is_significant && compared_with_ == sequence_ && !is_awaited)
        held_back_ = {outcome.text, outcome.hash, std::string(run_source())};
    else
        send_state(outcome.text, outcome.hash, run_source(), now);
}

void StateInstance::send_state(std::string_view data, uint64_t hash, std::string_view source,
                               Now now) {
    state_ = next_message(data, topic_->type, source, "snapshot", now);
    hash_ = hash;
    last_sent_is_state_ = true;
    deliver(state_, topic_->type, last_payload());
}

} // namespace rtd
