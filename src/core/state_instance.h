// StateInstance: an instance of a topic whose messages are the whole state, the result of a query.
// The newest state is kept and is what a new subscriber gets first: it may be kept because every
// change since makes the instance dirty. A result that equals it is not sent again. There is no
// history: the newest state is all that one who comes back can have missed.
#pragma once
#include "core/fence.h"
#include "core/query_instance.h"

namespace rtd {

class StateInstance final : public QueryInstance {
  public:
    using QueryInstance::QueryInstance;

    size_t kept_bytes() const override { return state_.body.size(); }

  protected:
    const Sent *first_message() override { return state_.body.empty() ? nullptr : &state_; }
    size_t history_length() const override { return 0; }
    void publish(const Event &event, Now now) override;
    void apply(const QueryOutcome &outcome, Now now) override;

  private:
    Sent state_;                      // the newest
    uint64_t hash_ = 0;               // of it
    bool last_sent_is_state_ = false; // it is also what clients saw last
};

} // namespace rtd
