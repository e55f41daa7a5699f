// Subscriptions: who gets which message. Keeps every session's subscriptions and, by instance, the
// rosters that a message walks over; tells the hub who comes and goes.
//
// A client that is too slow for messages that may not be skipped is closed, if they are events: it
// would miss some. A subscription of a keyed topic lapses instead: what waits of it is dropped, the
// hub is told that it is over, and once the client has read what else waits it subscribes again and
// begins with a fresh snapshot.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "gateway/session/hub.h"
#include "gateway/session/roster.h"
#include "gateway/session/session.h"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rtd::net {

class Subscriptions {
  public:
    // `deflater` is for messages that are compressed once for all who get them.
    Subscriptions(Hub &hub, Deflater &deflater) : hub_(hub), deflater_(deflater) {}

    // Asks the hub for a subscription. `since` is the id of the last message the client has, `ref`
    // of the request as JSON; both may be empty.
    void open(Session &session, TopicPath topic, std::string since, std::string ref);
    // Frees it; the hub is told if it does not know.
    void close(Subscription &subscription);
    void close_all(Session &session);
    // The session is to go, and gets nothing more.
    void end(Session &session, CloseCode code, std::string_view reason);
    // The session has read all that waited: what has lapsed subscribes again.
    void revive(Session &session);

    void handle(link::Subscribed &subscribed);
    void handle(link::Ended &ended);
    void handle(link::Message &message);
    void handle(link::Replayed &replayed);
    void handle(link::Control &control);
    void handle(link::EndUntold &end);
    // What has been collected goes out.
    void send_batches();
    // What was collected since the last call, sent or not: for one who gets all of it.
    size_t take_collected_bytes() { return std::exchange(collected_bytes_, 0); }

  private:
    static constexpr size_t kNoBatch = SIZE_MAX;
    // Messages for the live subscribers of an instance that came one after the other. Whatever else
    // comes over the link sends them first, so that a batch is never seen to be one.
    struct Batch {
        uint64_t instance;
        Outgoing messages;
    };
    struct Instance {
        Roster waiting;
        Roster live;
        size_t multiplexed = 0; // subscriptions whose session may have others
        size_t batch = kNoBatch;
        // The first message as it was compressed for the last ones who came, until there is a
        // newer message: clients who come one by one are many, too.
        std::string first_id;
        WireMessagePtr first_deflated;
        Roster &roster(link::Audience audience) {
            return audience == link::Audience::live ? live : waiting;
        }
    };
    // What a delivery asks for that would disturb the roster it walks over.
    struct Consequence {
        uint64_t subscription;
        Session::Delivery delivery;
    };
    using Consequences = std::vector<Consequence>;

    void subscribe(Subscription &subscription, std::string since);
    void unsubscribe(Subscription &subscription);
    void detach(Subscription &subscription);
    static std::unique_ptr<Subscription> take(Subscription &subscription);
    void collect(Instance &instance, link::Message &message);
    void welcome(Instance &instance, link::Message &message);
    static void deliver(Subscription &subscription, Outgoing &messages, QueuePolicy policy,
                        Consequences &consequences);
    static void note(uint64_t subscription, Session::Delivery delivery, Consequences &consequences);
    void draw(const Consequences &consequences);

    Hub &hub_;
    Deflater &deflater_;
    uint64_t last_subscription_ = 0;
    std::unordered_map<uint64_t, Subscription *> subscriptions_; // those the hub knows
    std::unordered_map<uint64_t, Instance> instances_;           // those with a subscription
    size_t collected_bytes_ = 0;
    std::vector<Batch> batches_; // in the order they began
};

} // namespace rtd::net
