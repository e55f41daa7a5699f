// Snapshot: a client of /api/v1/topics/<topic>. It subscribes, takes the first message for its
// answer and is gone.
#pragma once
#include "core/fence.h"
#include "gateway/session/http_session.h"

#include <string>
#include <string_view>

namespace rtd::net {

class Snapshot final : public HttpSession {
  public:
    Snapshot(Environment &environment, AdmittedSocket socket, Client client, std::string headers,
             bool with_body, std::string if_none_match);

    Delivery deliver(const Subscription &subscription, Outgoing &messages,
                     QueuePolicy policy) override;
    Delivery on_subscribed(Subscription &subscription, const link::Subscribed &subscribed) override;
    void on_ended(Subscription &subscription, CloseCode code, const std::string &reason) override;
    void close(CloseCode code, std::string_view reason) override;

  protected:
    bool ping() override { return false; }
    void on_end() override {} // it may still read
    void on_progress() override {}
    void on_late() override;

  private:
    std::string if_none_match_;
};

} // namespace rtd::net
