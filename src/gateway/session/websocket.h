// WebSocket: a client of /ws/<topic>. It gets data, and answers to its heartbeats, and need
// not say anything.
#pragma once
#include "core/fence.h"
#include "gateway/admission/token_bucket.h"
#include "gateway/http/response.h"
#include "gateway/session/session.h"
#include "gateway/websocket/heartbeat.h"
#include "gateway/websocket/ws_reader.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rtd::net {

class WebSocket : public Session {
  public:
    // Answers the upgrade that was asked for. The answer waits up to 10 ms for the hub, whose first
    // message then goes out in the same write: that is half of what a connection costs.
    WebSocket(Environment &environment, AdmittedSocket socket, Client client,
              const Upgrade &upgrade);

    Delivery deliver(const Subscription &subscription, Outgoing &messages,
                     QueuePolicy policy) override;
    Delivery on_subscribed(Subscription &subscription, const link::Subscribed &subscribed) override;
    void on_ended(Subscription &subscription, CloseCode code, const std::string &reason) override;
    void close(CloseCode code, std::string_view reason) override;

  protected:
    // The answer to the upgrade need not wait any longer.
    void open();
    bool ping() override;
    void on_late() override;
    void on_data(std::string_view bytes) override;
    // A whole message of the client; text is valid UTF-8. Of a client of one topic only heartbeats
    // are answered (gateway/websocket/heartbeat.h).
    virtual void on_message(bool is_text, std::string_view text);
    void answer_heartbeat(const Heartbeat &heartbeat);

  private:
    void on_incoming(WsIncoming &incoming);
    bool inflate(WsIncoming &incoming);
    void answer_ping(std::string_view payload);
    void answer_close(std::string_view payload);
    size_t max_text_bytes() const;
    void fail(CloseCode code, std::string_view reason);

    std::unique_ptr<WsReader> reader_;        // while something comes in
    bool has_failed_ = false;                 // what comes in makes no sense any more
    bool deflates_;                           // messages may be compressed, both ways
    std::unique_ptr<TokenBucket> heartbeats_; // once there was one
};

} // namespace rtd::net
