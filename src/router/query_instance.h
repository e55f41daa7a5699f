// QueryInstance: what instances of topics with a query share, which is when the query runs. Every
// change makes the instance dirty, its coalescer says when the query is due, and timers make it
// dirty too: the topic's `refresh`, and the resync interval without an event. What a result means
// is for the kind to say.
//
// Without a subscriber the query never runs: changes are noted, timers stand still, and the next
// subscriber waits for a new result if there was any of them.
//
// A query that fails is run again, see coalescer.h. Until it works, what was sent last is stale:
// live subscribers are told once, and once more when it is current again; those who take no control
// messages are ended after a grace. Newcomers never get the stale state. They wait for the next
// run, but not long, and are refused with what is known of the failure. They are refused as well if
// no query worker takes the query.
//
// A query that meets a lock of somebody else is no failure: it waits without a worker, with all of
// its topic (locked_topics.h). If that lasts, it is told as one.
//
// No gap: interest is registered before the first query runs, and a backend asks for interest after
// its transaction became visible. So a change either is in the query's snapshot or makes an event.
#pragma once
#include "core/fence.h"
#include "router/coalescer.h"
#include "router/instance.h"

namespace rtd {

class QueryInstance : public Instance {
  public:
    QueryInstance(InstanceSetup setup, Now now);

    void subscribe(const link::Subscribe &request, Now now) override;
    std::optional<link::Ended> give_up_waiting(Now now) override;
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
    bool is_outdated() const override { return is_outdated_ || is_failing(); }
    // The last run failed.
    bool is_failing() const { return failure_.has_value(); }
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
    // As those who wait hear of it.
    struct Failure {
        link::Ended reason;
        int64_t since_ms;              // of the first run that failed, without one that worked
        bool has_ended_untold = false; // those who take no control messages
    };

    void run_timers(Now now);
    void note_failure(const QueryOutcome &outcome, Now now);
    void note_lock(Now now);
    void tell_failure(link::Ended reason, Now now);
    void end_untold(Now now);
    void note_altered(const QueryOutcome &outcome);
    std::optional<int64_t> patience_ends_ms() const;

    std::optional<Failure> failure_;
    int64_t answer_by_ms_ = 0; // while it fails: when those who wait are refused at the latest
    int64_t queued_at_ms_ = 0; // since when it has waited for a query worker or a lock
    bool met_lock_ = false;    // its last run did
    int64_t next_look_ms_ = 0; // while it waits: whether there are any
    bool found_no_worker_ = false;
    Coalescer coalescer_;
    Cause run_cause_ = Cause::sync;
    std::string altered_;      // of a result, as it was logged last
    std::string last_payload_; // of the event that caused the next run; for the log
    int64_t last_event_ms_;
    int64_t next_poll_ms_ = 0; // 0: no refresh timer
    bool is_queued_ = false;   // due, and waiting for a query worker
    bool is_outdated_ = false; // what is kept is from before a time without subscribers
};

} // namespace rtd
