// Snapshot: a client of /api/v1/topics/<topic>. It subscribes, takes the first message for its
// answer and is gone.
#pragma once
#include "core/fence.h"
#include "net/http_session.h"

#include <string>
#include <string_view>

namespace rtd::net {

inline constexpr uint64_t kSnapshotDeadlineMs = 10000; // for the first message

class Snapshot final : public HttpSession {
  public:
    Snapshot(Client client, std::string headers, bool with_body, std::string if_none_match)
        : HttpSession(std::move(client), std::move(headers), with_body),
          if_none_match_(std::move(if_none_match)) {}

    Delivery deliver(const Subscription &subscription, Outgoing &message,
                     QueuePolicy policy) override;
    Delivery notify(const Subscription &subscription, Outgoing &message) override;
    Delivery on_subscribed(Subscription &subscription, const link::Subscribed &subscribed) override;
    void on_ended(Subscription &subscription, CloseCode code, const std::string &reason) override;
    bool ping() override;
    void close(CloseCode code, std::string_view reason) override;

  private:
    std::string if_none_match_;
};

} // namespace rtd::net
