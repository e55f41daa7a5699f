// What an instance of a state topic does; the rules are in state_instance.h.
#include "core/state_instance.h"

namespace rtd {

void StateInstance::publish(const Event &event, Now now) {
    // What clients show is no longer the state: the next result is sent even if it is equal.
    last_sent_is_state_ = false;
    QueryInstance::publish(event, now);
}

void StateInstance::apply(const QueryOutcome &outcome, Now now) {
    bool equal = first_message() != nullptr && hash_ == outcome.hash;
    if (equal && last_sent_is_state_)
        return;
    state_ = next_message(outcome.text, topic_->type, run_source(), "snapshot", now);
    hash_ = outcome.hash;
    last_sent_is_state_ = true;
    deliver(state_, topic_->type, last_payload());
}

} // namespace rtd
