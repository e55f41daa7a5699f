// Instance: a topic with given parameters (and, if its security is `invoker`, for one identity),
// and what all kinds of topic share: subscribers, numbering and the composing and sending of
// messages. What an event means, what a new subscriber gets and whether a query runs is for the
// kind to say: event_instance.h, state_instance.h, keyed_instance.h.
//
// A subscriber waits until it gets its first message, and is live from then on (see link.h). One
// that resumes is live at once, if the history still has everything after the message it names. If
// the first message cannot be had, the subscriptions of those who wait end with a reason.
//
// The router owns the instances and asks each, after every call, when it wants to be called again.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "router/clock.h"
#include "router/event.h"
#include "router/history.h"
#include "router/identity.h"
#include "router/locked_topics.h"
#include "router/message_log.h"
#include "router/query.h"
#include "router/router_host.h"
#include "router/standing.h"
#include "router/subscribers.h"
#include "router/topic.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtd {

// The newest message of an instance of a retained event topic, to be stored.
struct RetainedMessage {
    uint64_t instance = 0;
    uint64_t sequence = 0;
    std::string topic;
    std::vector<std::string> params;
    std::string message;
};

// The stored message of an instance of a retained event topic, to be read.
struct RetainedRead {
    uint64_t instance = 0;
    std::string topic;
    std::vector<std::string> params;
};

struct RetainedAnswer {
    uint64_t instance = 0;
    bool is_failed = false;
    std::string text; // the message, empty: there is none; or why it could not be read
};

// Events of a topic were lost.
struct Loss {
    int64_t wall_us = 0; // when the hub heard of it
    std::string payload; // an object with the reason
};

// What an instance is made of.
struct InstanceSetup {
    RouterHost &host;
    const RouterSettings &settings;    // the router's, which outlive the instance
    const LockedTopics &locked_topics; // the same
    uint64_t id;
    uint64_t epoch; // its own: an instance that comes back later never repeats a message's id
    std::shared_ptr<const Topic> topic;
    InstanceParams params;
    Identity identity = {};             // nobody's unless the topic's security is invoker
    std::optional<Loss> last_loss = {}; // of the topic, before the instance was made
};

class Instance {
  public:
    explicit Instance(InstanceSetup setup);
    virtual ~Instance() = default;
    Instance(const Instance &) = delete;
    Instance &operator=(const Instance &) = delete;

    uint64_t id() const { return id_; }
    uint64_t key() const { return key_; } // of its interest
    const Topic &topic() const { return *topic_; }
    const std::vector<std::string> &params() const { return params_.texts; }
    // By which events and subscribers find it: equal for equal parameters.
    const std::vector<std::string> &name() const { return params_.name(); }
    const Identity &identity() const { return identity_; }
    const Subscribers &subscriptions() const { return subscriptions_; }
    // Have the memory fetched that an event for it needs: first the instance, then what it points
    // to.
    static void prefetch(const Instance *instance);
    void prefetch_parts() const;
    Standing &standing() { return standing_; }
    const Standing &standing() const { return standing_; }

    // Answers with Subscribed, and sends or prepares what the subscriber gets first.
    virtual void subscribe(const link::Subscribe &request, Now now) = 0;
    virtual void unsubscribe(uint64_t subscription);
    // Sends the first message to those who wait for it, if there is one by now.
    void greet();
    // Why those who wait cannot have a first message, which ends their subscriptions; nullopt: they
    // go on waiting. Asked after every call that may have found out.
    virtual std::optional<link::Ended> give_up_waiting(Now) { return std::nullopt; }
    virtual std::vector<uint64_t> waiting_subscriptions() const {
        return {waiting_.begin(), waiting_.end()};
    }
    bool can_greet() { return !waiting_.empty() && !is_outdated() && first_message() != nullptr; }

    virtual void handle(const Event &event, Now now) = 0;
    virtual void handle_loss(const Loss &loss, Now now) = 0;

    // Has it something for those who come back, after the last subscriber left?
    virtual bool is_worth_keeping() const = 0;
    // What it keeps for them.
    virtual size_t kept_bytes() const { return history_.bytes(); }

    // The topic was altered, but its subscribers may go on: see Topic::same_instances().
    virtual void redefine(std::shared_ptr<const Topic> topic, Now) { topic_ = std::move(topic); }

    // When tick() must be called at the latest; nullopt: only something new can cause work.
    virtual std::optional<int64_t> next_deadline_ms() const { return std::nullopt; }
    // True if its query became due: start_query() must follow, as soon as a query worker is free.
    virtual bool tick(Now) { return false; }
    virtual QueryJob start_query(Now now);
    // What must still be read in the snapshot of an open outcome, before finish_query().
    virtual std::optional<QueryJob> continue_query(const QueryOutcome &) { return std::nullopt; }
    // Instead of start_query(): nobody subscribes any more.
    virtual void postpone_query() {}
    virtual void finish_query(const QueryOutcome &outcome, Now now);
    // Instead: the query that ran is no longer the topic's.
    virtual void discard_query(Now now);

    // The retained message, if it is not stored yet.
    virtual std::optional<RetainedMessage> unstored_message() const { return std::nullopt; }
    virtual bool is_unstored() const { return false; }
    virtual void mark_stored(uint64_t /* sequence */) {}

    // The stored message must be read before its subscribers are answered.
    virtual bool wants_retained() const { return false; }
    virtual RetainedRead start_retained_read() { return {}; }
    virtual void finish_retained_read(const RetainedAnswer &, Now) {}

    // Of a durable topic: messages of it that were numbered, and what it has to read in
    // rtd_message.
    virtual void receive(const NumberedMessage &, Now) {}
    virtual bool is_behind() const { return false; }
    // It is behind because it has read nothing yet.
    virtual bool is_loading() const { return false; }
    virtual ReadJob next_read() const; // only if it is behind
    virtual void finish_read(const ReadOutcome &, Now) {}
    // What it has to read cannot be read now; it will be tried again.
    virtual void fail_read(Now) {}
    // Messages may have been numbered of which it was not told.
    virtual void doubt() {}

  protected:
    // What a new subscriber gets first, nullptr if there is nothing yet.
    virtual const Sent *first_message() = 0;
    // Must those who wait be spared the first message, until a newer one comes?
    virtual bool is_outdated() const { return false; }
    // How many messages the history holds.
    virtual size_t history_length() const { return static_cast<size_t>(topic_->history); }

    // Counts the subscriber, who is answered later with admit().
    void join(uint64_t subscription) { subscriptions_.insert(subscription); }
    // Takes the subscriber in: to those who wait for the first message, or to the live ones.
    void admit(uint64_t subscription, bool awaits_first, bool recovered = false);
    // Takes the subscriber in as a live one that gets this first message of its own.
    void admit_with(uint64_t subscription, const Sent &first);
    // Takes in a live subscriber that resumes, and sends it what it missed. False, and nothing is
    // done, if the request names no message or one after which not everything is known.
    bool resume(const link::Subscribe &request);
    // The same from the message of this number, which is of this instance.
    bool resume_after(uint64_t subscription, uint64_t sequence);
    // A message that only this subscriber gets.
    void replay(uint64_t subscription, const Sent &message);
    Sent compose(uint64_t sequence, std::string_view data, std::string_view type,
                 std::string_view source, std::string_view kind, Now now) const;
    // Composed, numbered, and in the history.
    Sent next_message(std::string_view data, std::string_view type, std::string_view source,
                      std::string_view kind, Now now);
    // An event or broadcast as a message of its own.
    Sent next_message(const Event &event, Now now);
    // To the live subscribers.
    void tell_live(const Sent &message);
    // The same, with a line in the log. `payload` is of the event that caused it.
    void deliver(const Sent &message, std::string_view type, std::string_view payload);
    bool has_waiting() const { return !waiting_.empty(); }
    // To the live subscribers who take control messages. `data` is a JSON object.
    void tell_control(std::string_view type, std::string_view data, Now now);
    bool has_live() const { return subscriptions_.size() > waiting_.size(); }

    RouterHost &host_;
    const RouterSettings &settings_;
    const LockedTopics &locked_topics_;
    uint64_t id_;
    uint64_t epoch_;
    uint64_t sequence_ = 0; // of the newest message
    History history_;
    std::shared_ptr<const Topic> topic_;
    InstanceParams params_;
    Identity identity_;
    uint64_t key_;

  private:
    Standing standing_;
    Subscribers subscriptions_;
    Subscribers waiting_; // those without a first message yet
};

// Of the kind of topic that `setup` names.
std::unique_ptr<Instance> make_instance(InstanceSetup setup, Now now);

} // namespace rtd
