// Router: what each event means for which instance, and what each subscriber gets. The heart of the
// hub, free of clock, socket and server, so that a unit test can drive it.
//
// An instance is a topic with given parameters. It exists while somebody subscribes to it, or while
// its newest retained message is not yet stored. A state instance keeps its newest message, which
// is what the next subscriber gets; it may be kept because every change since makes it dirty.
//
// No gap: interest is registered before the first query runs, and a backend asks for interest after
// its transaction became visible. So a change either is in the query's snapshot or makes an event.
#pragma once
#include "core/clock.h"
#include "core/coalescer.h"
#include "core/event.h"
#include "core/fence.h"
#include "core/link.h"
#include "core/topic.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace rtd {

// A query that should run now. Self-contained: a query worker needs no catalog.
struct QueryJob {
    uint64_t instance = 0;
    std::shared_ptr<const Topic> topic;
    std::vector<std::string> params;
};

struct QueryOutcome {
    enum class Status : uint8_t { ok, failed, bad_parameter };
    Status status = Status::failed;
    std::string text;  // the result as jsonb text, or the error as a sentence
    uint64_t hash = 0; // of the result as jsonb: equal for equal values
    int64_t elapsed_us = 0;
};

// A message as clients get it.
struct Sent {
    std::string id;
    std::string body; // empty: none
};

// The newest message of an instance of a retained event topic, to be stored.
struct RetainedMessage {
    uint64_t instance = 0;
    uint64_t sequence = 0;
    std::string topic;
    std::vector<std::string> params;
    std::string message;
};

// What the router asks of the process it runs in.
class RouterHost {
  public:
    virtual ~RouterHost() = default;
    virtual void send(const link::HubFrame &frame) = 0;
    // Why the client's role may not subscribe to the topic; nullopt if it may. Without a topic (the
    // name is unknown): only whether the client may ask at all.
    virtual std::optional<link::Ended> refuse(const Topic *topic) = 0;
    // Counts a subscriber of instance and topic where backends see it. False: no room.
    virtual bool add_interest(uint64_t instance_key, uint64_t topic_key) = 0;
    virtual void remove_interest(uint64_t instance_key, uint64_t topic_key) = 0;
    // Changes from here on are news again: a query of the instance is about to start, or every
    // change matters.
    virtual void clear_changed(uint64_t instance_key, uint64_t topic_key) = 0;
    // The stored message of an instance of a retained topic, or nullopt.
    virtual std::optional<std::string> load_retained(const std::string &topic,
                                                     const std::vector<std::string> &params) = 0;
    // Per-event lines (R6) are only composed if they are wanted.
    virtual bool logs_events() const = 0;
    virtual void log_event(const std::string &line) = 0;
    virtual void log_warning(const std::string &line) = 0;
};

class Router {
  public:
    Router(RouterHost &host, uint64_t first_epoch) : host_(host), next_epoch_(first_epoch) {}

    // Replaces the topics. Subscriptions to topics that are gone, altered or no longer granted end.
    void set_topics(Topics topics);
    void set_resync_interval(int64_t interval_ms);

    void subscribe(const link::Subscribe &request, Now now);
    void unsubscribe(uint64_t subscription);
    // The gateway is gone and all its subscriptions with it.
    void forget_subscriptions();

    void handle(const Event &event, Now now);
    // Events were lost: states are queried again, subscribers of event topics get a gap message.
    // `concerns` says which topics, by key. `reason` is a sentence.
    void handle_loss(const std::function<bool(uint64_t topic_key)> &concerns,
                     const std::string &reason, Now now);

    // The next query to run, at most `most_per_topic` of one topic at a time; nullopt if none is
    // due. The instance counts as running until finish_job() or abandon_job().
    std::optional<QueryJob> take_job(Now now, size_t most_per_topic);
    void finish_job(uint64_t instance, const QueryOutcome &outcome, Now now);
    // The query worker died: the job is repeated after a backoff.
    void abandon_job(uint64_t instance, Now now);

    // End of a turn: sends first messages and moves due instances to the queue.
    void finish_turn(Now now);
    // When finish_turn() must be called at the latest; nullopt: only something new can cause work.
    std::optional<int64_t> next_deadline_ms() const;

    bool has_unstored_messages() const { return !unstored_.empty(); }
    std::vector<RetainedMessage> unstored_messages() const;
    void mark_stored(uint64_t instance, uint64_t sequence);

    size_t subscription_count() const { return subscriptions_.size(); }

  private:
    struct Instance {
        uint64_t id = 0;
        std::shared_ptr<const Topic> topic;
        std::vector<std::string> params;
        uint64_t key = 0;
        uint64_t epoch = 0;
        uint64_t sequence = 0;
        std::unordered_set<uint64_t> subscriptions;
        std::unordered_set<uint64_t> waiting; // those without a first message yet
        Sent last_message;                    // newest state, or retained message
        uint64_t last_hash = 0;               // of the newest state
        bool last_sent_is_state = false;      // the newest state is also what clients saw last
        Coalescer coalescer{0, 0};
        std::string last_payload; // of the event that caused the next run; for the log
        Cause run_cause = Cause::sync;
        int64_t last_event_ms = 0;
        int64_t next_poll_ms = 0;           // 0: no refresh timer
        std::optional<int64_t> deadline_ms; // its entry in deadlines_
        bool queued = false;                // in ready_
    };

    Instance *find(const std::string &topic, const std::vector<std::string> &params);
    Instance &make_instance(std::shared_ptr<const Topic> topic, std::vector<std::string> params,
                            Now now);
    void drop_if_unused(Instance &instance);
    void end_all(Instance &instance, CloseCode code, const std::string &reason);
    std::optional<link::Ended> why_refused(const link::Subscribe &request);
    std::vector<Instance *> matching(const Event &event);
    void change(Instance &instance, const Event &event, Now now);
    void tell_gap(Instance &instance, const std::string &payload, Now now);
    void publish(Instance &instance, const Event &event, Now now);
    Sent next_message(Instance &instance, std::string_view data, std::string_view type,
                      std::string_view source, std::string_view kind, Now now);
    void deliver(Instance &instance, const Sent &message, std::string_view type,
                 std::string_view payload);
    void greet(Instance &instance);
    void reschedule(Instance &instance);

    RouterHost &host_;
    Topics topics_;
    int64_t resync_interval_ms_ = 0;
    uint64_t next_epoch_;
    uint64_t next_instance_ = 1;
    std::unordered_map<uint64_t, std::unique_ptr<Instance>> instances_;
    std::map<std::pair<std::string, std::vector<std::string>>, Instance *> by_name_;
    std::unordered_map<uint64_t, Instance *> subscriptions_;
    std::set<std::pair<int64_t, uint64_t>> deadlines_;  // (when, instance)
    std::deque<uint64_t> ready_;                        // instances whose query is due
    std::unordered_map<uint64_t, std::string> running_; // job's instance to its topic's name
    std::unordered_map<std::string, size_t> running_of_topic_;
    std::set<uint64_t> unstored_;     // instances with a retained message that is not stored yet
    std::vector<uint64_t> greetings_; // instances with waiting subscriptions, this turn
};

} // namespace rtd
