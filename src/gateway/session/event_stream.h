// EventStream: a client of /sse/<topic>, which gets Server-Sent Events. The answer begins with the
// first thing there is to say, so that what the hub refuses, even a parameter that only the query
// can find wrong, is still an HTTP status. After a status an EventSource does not come back; so a
// subscription that was accepted and then fails for a reason that passes, such as a failing query,
// is an event and the end.
#pragma once
#include "core/fence.h"
#include "gateway/session/http_session.h"

#include <string>
#include <string_view>

namespace rtd::net {

class EventStream final : public HttpSession {
  public:
    EventStream(Environment &environment, AdmittedSocket socket, Client client,
                std::string headers);

    Delivery deliver(const Subscription &subscription, Outgoing &message,
                     QueuePolicy policy) override;
    bool takes_control_messages() const override { return true; }
    Delivery notify(const Subscription &subscription, Outgoing &message) override;
    Delivery on_subscribed(Subscription &subscription, const link::Subscribed &subscribed) override;
    void on_ended(Subscription &subscription, CloseCode code, const std::string &reason) override;
    void close(CloseCode code, std::string_view reason) override;

  protected:
    bool ping() override;

  private:
    void begin();
    void finish_with(CloseCode code, std::string_view reason, const TopicPath *topic);

    bool has_begun_ = false;
    std::string greeting_; // rtd_subscribed, until the answer begins
};

} // namespace rtd::net
