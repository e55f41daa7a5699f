// Session: one client of topics, whatever it speaks: a WebSocket with one topic
// (gateway/session/websocket.h) or many (gateway/session/multiplexed.h), an event stream
// (gateway/session/event_stream.h), or a request for a snapshot (gateway/session/snapshot.h).
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/link.h"
#include "gateway/admission/refusals.h"
#include "gateway/admission/subnet.h"
#include "gateway/session/connection.h"
#include "gateway/session/outgoing.h"
#include "gateway/session/subscription.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::net {

class Session;
class Subscriptions;

// Who looks after sessions.
class SessionOwner {
  public:
    virtual void on_session_gone(Session &session) = 0;

  protected:
    ~SessionOwner() = default;
};

// Who a session is, and whom it turns to.
struct Client {
    uint64_t id;
    std::string address;
    Subnet subnet; // of the address
    SessionOwner &owner;
    Subscriptions &registry;
};

class Session : public Connection {
  public:
    Session(Environment &environment, AdmittedSocket socket, Client client);

    uint64_t id() const { return client_.id; }
    const std::string &address() const { return client_.address; }

    std::vector<std::unique_ptr<Subscription>>
        subscriptions; // kept by gateway/session/subscriptions.h

    enum class Delivery {
        taken,
        overflow, // too much waits: it was not taken
        enough,   // taken, and the subscription has served its purpose
    };
    virtual Delivery deliver(const Subscription &subscription, Outgoing &messages,
                             QueuePolicy policy) = 0;
    // A control message about the subscription's instance; only for those who take such.
    virtual bool takes_control_messages() const { return false; }
    virtual Delivery notify(const Subscription &, Outgoing &) { return Delivery::taken; }
    // It may have more than one subscription.
    virtual bool is_multiplexed() const { return false; }

    // What the hub has decided. The one that ended is in no roster any more.
    virtual Delivery on_subscribed(Subscription &, const link::Subscribed &) {
        return Delivery::taken;
    }
    virtual void on_ended(Subscription &subscription, CloseCode code,
                          const std::string &reason) = 0;
    virtual void on_published(const link::Published &) {}

    // Says goodbye; the first reason counts.
    virtual void close(CloseCode code, std::string_view reason) = 0;
    void vanish(std::string_view reason) override;
    bool is_closing() const { return closing_; }

    void forget_waiting(const Subscription &subscription) { queue_.drop(subscription.id); }

    uint16_t close_code() const { return close_code_; }
    const std::string &close_reason() const { return close_reason_; }
    uint64_t dropped() const { return queue_.dropped(); }

    void on_gone() override { client_.owner.on_session_gone(*this); }

  protected:
    // False if too much waits. What comes after the session's end is ignored.
    bool send(const WireMessagePtr &message, uint64_t subscription, QueuePolicy policy);
    // Says something that shows whether the client lives. True if the client will answer it.
    virtual bool ping() = 0;
    void saw_life();
    void set_close(uint16_t code, std::string_view reason);
    // Closes, and frees the subscriptions at once.
    void end(CloseCode code, std::string_view reason);

    void on_progress() override { saw_life(); }
    void on_caught_up() override;
    void on_late() override;
    void on_failure() override;

    // For the log: something that the client wanted is refused.
    void count_refusal(Refusals::Thing thing, CloseCode code, std::string_view sentence) {
        environment().refusals.count(thing, code, sentence, client_.subnet);
    }
    void count_refusal(Refusals::Thing thing, RefusalReason reason, std::string_view sentence) {
        environment().refusals.count(thing, reason, sentence, client_.subnet);
    }

    Subscriptions &registry() const { return client_.registry; }
    const link::Settings &settings() const { return environment().settings; }

  private:
    Client client_;
    bool awaits_sign_ = false; // of life: it was pinged
    bool closing_ = false;
    uint16_t close_code_ = 1006; // "no close frame", as RFC 6455 calls it
    std::string close_reason_;
};

} // namespace rtd::net
