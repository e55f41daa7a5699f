// Session: one client, whatever it speaks: a WebSocket with one topic (net/websocket.h) or many
// (net/multiplexed.h), an event stream (net/event_stream.h), or a request for a snapshot
// (net/snapshot.h). Owns what waits for the client and writes it. A message is written at once if
// nothing waits (asking libwebsockets for a writable callback each time nearly doubles the CPU),
// otherwise it queues.
//
// A session never goes away by itself: the connection does, later, and its owner frees it then.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/link.h"
#include "core/send_queue.h"
#include "net/keepalive.h"
#include "net/outgoing.h"
#include "net/subscription.h"

#include <cstdint>
#include <libwebsockets.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::net {

// Who a session is and what holds for it. The settings may change under it.
struct Client {
    lws *wsi;
    uint64_t id;
    std::string address;
    const link::Settings &settings;
};

class Session {
  public:
    explicit Session(Client client);
    virtual ~Session() = default;

    uint64_t id() const { return client_.id; }
    const std::string &address() const { return client_.address; }

    std::vector<std::unique_ptr<Subscription>> subscriptions; // kept by net/subscriptions.h
    Keepalive::Entry keepalive;

    enum class Delivery {
        taken,
        overflow, // too much waits: it was not taken
        enough,   // taken, and the subscription has served its purpose
    };
    virtual Delivery deliver(const Subscription &subscription, Outgoing &message,
                             QueuePolicy policy) = 0;
    // A control message about the subscription's instance.
    virtual Delivery notify(const Subscription &, Outgoing &) { return Delivery::taken; }

    // What the hub has decided. The one that ended is in no roster any more.
    virtual Delivery on_subscribed(Subscription &, const link::Subscribed &) {
        return Delivery::taken;
    }
    virtual void on_ended(Subscription &subscription, CloseCode code,
                          const std::string &reason) = 0;
    virtual void on_published(const link::Published &) {}

    // After an interval of silence. True if the client will show that it lives.
    virtual bool ping() = 0;
    // Says goodbye; the first reason counts.
    virtual void close(CloseCode code, std::string_view reason) = 0;
    // Drops the connection without a word.
    void kill(std::string_view reason);
    bool is_closing() const { return closing_; }

    void on_writable();
    bool has_nothing_waiting() const { return queue_.empty(); }
    void forget_waiting(const Subscription &subscription) { queue_.drop(subscription.id); }

    // The connection is gone: fills in what only lws knows, if it closed by itself.
    virtual void on_closed() {}
    uint16_t close_code() const { return close_code_; }
    const std::string &close_reason() const { return close_reason_; }
    uint64_t dropped() const { return queue_.dropped(); }

  protected:
    // False if too much waits. What comes after the session's end is ignored.
    bool send(const WireMessagePtr &message, uint64_t subscription, QueuePolicy policy);
    // Nothing is in the way of bytes for the client.
    virtual bool can_write() const { return true; }
    // Some of what was written waits in libwebsockets; everything has been written.
    virtual void on_stuck() {}
    virtual void on_drained() {}
    // False if the connection broke: it is being killed then, and nothing waits any more.
    bool write(std::string_view bytes);
    void give_up_after(int seconds);
    void set_close(uint16_t code, std::string_view reason);
    lws *wsi() const { return client_.wsi; }
    const link::Settings &settings() const { return client_.settings; }

    SendQueue queue_;

  private:
    Client client_;
    bool closing_ = false;
    uint16_t close_code_ = 1006; // "no close frame", as RFC 6455 calls it
    std::string close_reason_;
};

} // namespace rtd::net
