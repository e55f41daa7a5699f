// StateInstance: an instance of a topic whose messages are the whole state, the result of a query.
// The newest state is kept and is what a new subscriber gets first: it may be kept because every
// change since makes the instance dirty. A result that equals it is not sent again. There is no
// history: the newest state is all that one who comes back can have missed.
//
// A result that the topic's significant function finds not worth sending is held back: the state
// sent last remains the one that later results are compared with. A new subscriber must get the
// newest state, so what is held back then, or found by a query that is due or runs then, is sent
// after all, and to everybody: the subscribers of an instance have one state and one numbering.
#pragma once
#include "core/fence.h"
#include "router/query_instance.h"

namespace rtd {

class StateInstance final : public QueryInstance {
  public:
    using QueryInstance::QueryInstance;

    void subscribe(const link::Subscribe &request, Now now) override;
    QueryJob start_query(Now now) override;
    size_t kept_bytes() const override {
        return state_.body.size() + (held_back_ ? held_back_->data.size() : 0);
    }

  protected:
    const Sent *first_message() override { return state_.body.empty() ? nullptr : &state_; }
    size_t history_length() const override { return 0; }
    void publish(const Event &event, Now now) override;
    void forget_result() override;
    void apply(const QueryOutcome &outcome, Now now) override;

  private:
    struct HeldBack {
        std::string data;
        uint64_t hash;
        std::string source;
    };

    void send_state(std::string_view data, uint64_t hash, std::string_view source, Now now);

    Sent state_;                      // the newest
    uint64_t hash_ = 0;               // of it
    bool last_sent_is_state_ = false; // it is also what clients saw last
    std::optional<HeldBack> held_back_;
    bool owes_newest_ = false;        // to a subscriber that came while it was not known
    uint64_t compared_with_ = 0;      // sequence of the message that the running query got
    bool significant_failed_ = false; // the last time it was asked; it is logged once
};

} // namespace rtd
