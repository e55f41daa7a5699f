// WebSocket: a client of /ws/<topic>. It gets data and nothing else, and need not say anything.
//
// Close frames are ours, not lws_close_reason(): lws sends none to a client that has not read what
// was written before.
#pragma once
#include "core/fence.h"
#include "net/session.h"

#include <cstdint>
#include <string_view>

namespace rtd::net {

class WebSocket : public Session {
  public:
    using Session::Session;

    Delivery deliver(const Subscription &subscription, Outgoing &message,
                     QueuePolicy policy) override;
    void on_ended(Subscription &subscription, CloseCode code, const std::string &reason) override;
    bool ping() override;
    void close(CloseCode code, std::string_view reason) override;
    void on_closed() override;

    void on_peer_close(uint16_t code, std::string_view reason);
    // Part of a message of the client, whose limits have been checked.
    virtual void on_data(std::string_view) {}
    // Counts what the client sent; false if its message is larger than it may be.
    bool accept_data(size_t bytes);

  protected:
    bool can_write() const override;

  private:
    uint64_t message_bytes_ = 0; // of the client's message so far
};

} // namespace rtd::net
