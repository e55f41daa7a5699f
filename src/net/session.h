// Session: one WebSocket client. Owns what waits for it and writes it. A message is written at once
// if nothing waits (asking libwebsockets for a writable callback each time nearly doubles the CPU),
// otherwise it queues.
//
// Close frames are ours, not lws_close_reason(): lws sends none to a client that has not read what
// was written before.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "core/request_path.h"
#include "core/send_queue.h"
#include "net/keepalive.h"

#include <cstdint>
#include <libwebsockets.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::net {

class Session {
  public:
    Session(lws *wsi, uint64_t client, std::string address, TopicPath topic);

    // The identity of the client and its subscription; `instance` and the following belong to the
    // server's rosters and are set once the hub has answered.
    const uint64_t client;
    const std::string address;
    const TopicPath topic;
    uint64_t subscription = 0;        // 0: none (any more)
    std::optional<uint64_t> instance; // once the hub has answered
    link::TopicKind kind = link::TopicKind::event;
    link::Audience audience = link::Audience::live;
    size_t roster_index = 0;
    Keepalive::Entry keepalive;

    // False if the client is too slow for `message`.
    bool deliver(const SendQueue::MessagePtr &message, uint64_t max_waiting_bytes);
    void on_writable();
    void ping();

    // Sends a close frame and waits for the peer's; the first reason counts.
    void close(uint16_t code, std::string_view reason);
    // Drops the connection without a frame.
    void kill(std::string_view reason);
    bool is_closing() const { return closing_; }

    void on_peer_close(uint16_t code, std::string_view reason);
    // The connection is gone: fills in what only lws knows, if it closed by itself.
    void on_closed();
    uint16_t close_code() const { return close_code_; }
    const std::string &close_reason() const { return close_reason_; }

    // Counts what the client sent; false if its message is larger than it may be.
    bool accept_data(size_t bytes, size_t max_message_bytes);

    uint64_t dropped() const { return queue_.dropped(); }

  private:
    bool can_write() const;
    // False if the connection broke: it is being killed then, and nothing waits any more.
    bool write(std::string_view frame);
    void give_up_after(int seconds);

    lws *wsi_;
    SendQueue queue_;
    bool closing_ = false;
    uint16_t close_code_ = 1006; // "no close frame", as RFC 6455 calls it
    std::string close_reason_;
    uint64_t message_bytes_ = 0; // of the client's message so far
};

} // namespace rtd::net
