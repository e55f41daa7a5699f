// Router: which instance an event, a subscriber or a query's result is for, and when instances get
// their turn. The heart of the hub, free of clock, socket and server, so that a unit test can drive
// it. What an instance does with it is for its kind to say: instance.h.
//
// An instance exists while somebody subscribes to it, while its newest retained message is not yet
// stored, and for a while after its last subscriber left (it lingers): whoever comes back finds its
// history and its numbering. Those that linger are bounded, in number and in bytes; the oldest go
// first.
//
// One topic does not hold up the others, however many instances of it there are and change: an
// event costs what it is for (instance_index.h), one for many is told in portions (wide_events.h),
// and in a turn each topic has a share of the instances that are due (fair_deadlines.h,
// ready_queue.h).
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "router/alone_messages.h"
#include "router/clock.h"
#include "router/event.h"
#include "router/fair_deadlines.h"
#include "router/gateway_id.h"
#include "router/instance.h"
#include "router/instance_index.h"
#include "router/instance_memory.h"
#include "router/locked_topics.h"
#include "router/message_log.h"
#include "router/query.h"
#include "router/ready_queue.h"
#include "router/router_host.h"
#include "router/topic.h"
#include "router/unstored_instances.h"
#include "router/wide_events.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtd {

class Router {
  public:
    // `seed`: a number that clients do not know; see flat_map.h.
    Router(RouterHost &host, uint64_t first_epoch, uint64_t seed = 0)
        : host_(host), next_epoch_(first_epoch), index_(seed) {}

    // Replaces the topics. Subscriptions end if their topic is gone, no longer granted, or altered
    // so that they cannot go on; those of one that was altered otherwise follow it, and get its new
    // state.
    void set_topics(Topics topics, Now now);
    // The same for topics that are new or were altered, while all others stay as they are.
    void change_topics(const std::vector<std::shared_ptr<const Topic>> &changed, Now now);
    // Grants or roles changed: ends the subscriptions that RouterHost::refuse() refuses now.
    void check_access(Now now);
    void set_settings(const RouterSettings &settings);

    // The subscription keeps the identity until it ends.
    void subscribe(const link::Subscribe &request, const Identity &identity, Now now);
    void unsubscribe(uint64_t subscription, Now now);
    // The gateway is gone and all its subscriptions with it.
    void forget_gateway(GatewayNumber gateway, Now now);

    void handle(const Event &event, Now now);
    // These will be handled next. Where there are many instances, an event's is not in the cache:
    // the memory that several of them need is fetched at once.
    void expect(std::span<const Event> events) const {
        if (events.size() > 1)
            index_.prefetch(events);
    }
    // What queries depend on was defined anew, nobody can tell of which: all are due again, at once
    // after a quiet time, and else twice a second, so that DDL in a loop does not keep them
    // running.
    void query_all_again(Now now);
    // Events were lost: states are queried again, durable messages looked for in their table, and
    // subscribers of other event topics get a gap message, the next ones of topics that retain too.
    // `concerns` says which topics, by key. `reason` is a sentence.
    void handle_loss(const std::function<bool(uint64_t topic_key)> &concerns,
                     const std::string &reason, Now now);

    // The next query to run, at most `most_per_topic` of one topic at a time; nullopt if none is
    // due. The instance counts as running until finish_job() or abandon_job(). `is_last`: it gets
    // the last worker that is free, of several; `is_only`: there is one.
    std::optional<QueryJob> take_job(Now now, size_t most_per_topic, bool is_last = false,
                                     bool is_only = false);
    // Queries of some wait for a lock.
    bool has_locked_topics() const { return !locked_topics_.empty(); }
    // Before the outcome is_open, all events that its snapshot shows must have been handled.
    // Returns what the same worker must read in the same snapshot before the job is done.
    std::optional<QueryJob> finish_job(uint64_t instance, const QueryOutcome &outcome, Now now);
    // No outcome will come, `why` says in a sentence: the job is repeated after a backoff.
    void abandon_job(uint64_t instance, const char *why, Now now);

    // The next job about the messages of durable topics, if there is one and none is under way. It
    // is until finish_log_job() or abandon_log_job().
    std::optional<LogJob> take_log_job(Now now);
    // Another one, which only reads, while the first gives numbers that wait long: see
    // message_log.h. It is until finish_log_job() or abandon_reading_beside().
    std::optional<LogJob> take_reading_beside(Now now);
    void abandon_reading_beside(const std::string &why, Now now);
    bool is_reading_beside(uint64_t instance) const { return log_.is_read_beside(instance); }
    std::optional<int64_t> next_reading_deadline_ms() const {
        return log_.next_reading_deadline_ms();
    }
    void finish_log_job(const LogOutcome &outcome, Now now);
    // No outcome will come, and whether the query worker had committed is not known.
    void abandon_log_job(const char *why, Now now);
    // The extension is gone, and what was to be done with it.
    void forget_log_jobs() { log_.forget(); }
    bool has_log_jobs() const { return log_.has_work(); }
    bool is_numbering() const { return log_.is_numbering(); }

    // Stored messages of retained topics that are to be read now, at most `most`. Each is under way
    // until finish_retained_read().
    std::vector<RetainedRead> take_retained_reads(size_t most);
    void finish_retained_read(const RetainedAnswer &answer, Now now);
    bool has_retained_reads() const { return !retained_reads_.empty(); }

    // End of a turn: sends first messages and moves due instances to the queue.
    void finish_turn(Now now);
    // The same of take_log_job().
    std::optional<int64_t> next_log_deadline_ms() const { return log_.next_deadline_ms(); }
    // When finish_turn() must be called at the latest; nullopt: only something new can cause work.
    std::optional<int64_t> next_deadline_ms() const;

    bool has_unstored_messages() const { return !unstored_.empty(); }
    // Some of them, at most `most` and about `most_bytes`; one call after the other comes by all.
    std::vector<RetainedMessage> unstored_messages(size_t most, size_t most_bytes);
    void mark_stored(uint64_t instance, uint64_t sequence);
    // Messages of the topic went because it has more than RouterSettings::max_retained. Logged
    // once.
    void note_retained_bound(const std::string &topic);

    size_t subscription_count() const { return subscriptions_.size(); }
    size_t instance_count() const { return instances_.size(); }
    // What they take, about.
    size_t instance_bytes() const { return memory_.bytes(subscriptions_.size()); }

  private:
    static constexpr size_t kMostAloneBytes = 64 << 20;

    // A query that a query worker has.
    struct Running {
        std::string topic;
        uint64_t version; // of the topic
    };
    struct Subscription {
        Instance *instance;
        Identity identity;
    };
    // A query that take_job() is about to return.
    struct Starting {
        uint64_t instance;
        uint64_t topic; // key
    };
    Instance &make_instance(std::shared_ptr<const Topic> topic, InstanceParams params,
                            Identity identity, Now now);
    // Must follow every call that may change what the instance waits for.
    void reschedule(Instance &instance);
    void count_kept_bytes(Instance &instance);
    void start_lingering(Instance &instance, int64_t linger_ms, Now now);
    void stop_lingering(Instance &instance);
    void drop_oldest_lingering();
    bool is_full() const { return memory_.is_full(subscriptions_.size()); }
    std::optional<link::Ended> make_room(bool is_new, Now now);
    void refuse_new(Instance &instance, Now now);
    link::Ended told_full(Now now);
    void keep_memory_bound();
    void drop_if_unused(Instance &instance);
    void drop(Instance &instance);
    void end(uint64_t subscription, CloseCode code, const std::string &reason);
    void end_all(Instance &instance, CloseCode code, const std::string &reason);
    void refuse_waiting(Instance &instance, Now now);
    void remember_failure(Instance &instance, Now now);
    void take_back_job(Now now);
    void lock(const std::string &topic, Now now);
    void unlock(const std::string &topic);
    // After a call to the instance that may have found out that a first message cannot be had. The
    // instance may be gone then.
    void settle(Instance &instance, Now now);
    std::optional<link::Ended> why_refused(const link::Subscribe &request,
                                           const Identity &identity);
    bool add_subscriber_interest(uint64_t instance_key, uint64_t topic_key);
    bool keeps_name(const Instance &instance, const Topic &topic);
    void forget_role(const Instance &instance, const Identity &identity);
    void end_role(const std::string &topic, uint32_t role, const link::Ended &refusal, Now now);
    void follow_or_end(Instance &instance, Now now);
    void follow(Instance &instance, const std::shared_ptr<const Topic> &topic, Now now);
    void retain_or_skip(const Topics::value_type &topic, const Event &event, Now now);
    void tell(Instance &instance, const WideEvent &event, Now now);
    void tell_all(const InstanceIndex::Candidates &candidates, WideEvent event, bool repeats,
                  Now now);
    void catch_up(Instance &instance, Now now);
    void tell_some(Now now);
    void note_alone(const Instance &instance);
    void keep_bound(const Topic &topic);
    void greet_some();
    bool handle_stored(const Event &event);
    void retry_log_job(const std::string &error, Now now);
    void tell_log_failure(const std::string &error, int64_t retry_ms, Now now);
    void remember_loss(const Topic &topic, const Loss &loss);

    RouterHost &host_;
    Topics topics_;
    RouterSettings settings_;
    size_t history_bytes_ =
        settings_.history_bytes; // as was set; settings_ has 0 while there is no room for histories
    InstanceMemory memory_;
    std::optional<int64_t> told_full_ms_; // when the log said so last
    uint64_t next_epoch_;
    uint64_t next_instance_ = 1;
    std::unordered_map<uint64_t, std::unique_ptr<Instance>> instances_; // by id
    InstanceIndex index_;
    WideEvents wide_;         // events that not all whom they concern were told yet
    size_t told_at_once_ = 0; // instances, in this turn, of events for all of a topic
    std::unordered_map<uint64_t, Subscription> subscriptions_;
    // Of each topic, the roles that subscribe to it and how often.
    std::map<std::string, std::map<uint32_t, size_t>> roles_;
    FairDeadlines deadlines_;
    std::set<std::pair<int64_t, uint64_t>> lingering_; // (since when, instance)
    size_t kept_bytes_ = 0;                            // of those that linger
    int64_t query_all_from_ms_ = 0;                    // not all queries are due again before
    bool query_all_waits_ = false;                     // for that
    LockedTopics locked_topics_;
    ReadyQueue ready_;                 // instances whose query is due
    std::optional<Starting> starting_; // the one whose start failed, for want of memory
    std::unordered_map<uint64_t, Running> running_; // by instance
    std::set<uint64_t> retained_reads_;             // instances whose stored message is to be read
    UnstoredInstances unstored_; // with a retained message that is not stored yet
    AloneMessages alone_{kMostAloneBytes};
    std::set<std::string> told_bound_;  // topics of which note_retained_bound() has told
    MessageLog log_;                    // of durable topics
    bool log_fails_ = false;            // the last job about them failed
    bool reading_is_overtaken_ = false; // by numbers that were given while it ran
    std::deque<uint64_t> greetings_;    // instances with a first message to send
    std::map<std::string, Loss, std::less<>> losses_; // the newest one of each topic that retains
};

} // namespace rtd
