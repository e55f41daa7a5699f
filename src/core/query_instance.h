// QueryInstance: what instances of topics with a query share, which is when the query runs. Every
// change makes the instance dirty, its coalescer says when the query is due, and timers make it
// dirty too: the topic's `refresh`, and the resync interval without an event. What a result means
// is for the kind to say.
//
// Without a subscriber the query never runs: changes are noted, timers stand still, and the next
// subscriber waits for a new result if there was any of them.
//
// No gap: interest is registered before the first query runs, and a backend asks for interest after
// its transaction became visible. So a change either is in the query's snapshot or makes an event.
#pragma once
#include "core/coalescer.h"
#include "core/fence.h"
#include "core/instance.h"

namespace rtd {

class QueryInstance : public Instance {
  public:
    QueryInstance(InstanceSetup setup, Now now);

    void subscribe(const link::Subscribe &request, Now now) override;
    void handle(const Event &event, Now now) override;
    void handle_loss(const Loss &loss, Now now) override;
    bool is_worth_keeping() const override { return true; }
    std::optional<int64_t> next_deadline_ms() const override;
    bool tick(Now now) override;
    QueryJob start_query(Now now) override;
    void postpone_query() override { is_queued_ = false; }
    void finish_query(const QueryOutcome &outcome, Now now) override;
    void discard_query(Now now) override;
    void redefine(std::shared_ptr<const Topic> topic, Now now) override;

  protected:
    bool is_outdated() const override { return is_outdated_; }
    // A broadcast, which is delivered as it is.
    virtual void publish(const Event &event, Now now);
    // The query may have another result. `event` says why, nullptr: anything may have changed.
    virtual void changed(const Event *event, Cause cause, Now now);
    // What was sent comes from another query, or has another type: it is nobody's first message
    // any more, and the next result is sent even if it is equal.
    virtual void forget_result() {}
    // A query that started after the last change has this result.
    virtual void apply(const QueryOutcome &outcome, Now now) = 0;

    // No query is due or runs: the last result is of now.
    bool is_current() const { return !coalescer_.dirty() && !coalescer_.running(); }
    std::string_view run_source() const; // of a message that the last run makes
    const std::string &last_payload() const { return last_payload_; }

  private:
    void run_timers(Now now);

    Coalescer coalescer_;
    Cause run_cause_ = Cause::sync;
    std::string last_payload_; // of the event that caused the next run; for the log
    int64_t last_event_ms_;
    int64_t next_poll_ms_ = 0; // 0: no refresh timer
    bool is_queued_ = false;   // due, and waiting for a query worker
    bool is_outdated_ = false; // what is kept is from before a time without subscribers
};

} // namespace rtd
