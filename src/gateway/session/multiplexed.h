// MultiplexedWebSocket: a client of /ws, which says what it wants in messages of its own (see
// gateway/websocket/client_message.h) and gets an answer to each. A request that cannot be done is
// answered with rtd_error; the connection goes on.
#pragma once
#include "core/fence.h"
#include "gateway/admission/token_bucket.h"
#include "gateway/session/control.h"
#include "gateway/session/subscriptions.h"
#include "gateway/session/websocket.h"
#include "gateway/websocket/client_message.h"

#include <map>
#include <string>
#include <string_view>

namespace rtd::net {

class MultiplexedWebSocket final : public WebSocket {
  public:
    MultiplexedWebSocket(Environment &environment, AdmittedSocket socket, Client client,
                         const Upgrade &upgrade)
        : WebSocket(environment, std::move(socket), std::move(client), upgrade) {
        open(); // it has to ask first
    }

    bool is_multiplexed() const override { return true; }
    bool takes_control_messages() const override { return true; }

    Delivery notify(const Subscription &subscription, Outgoing &messages) override;
    Delivery on_subscribed(Subscription &subscription, const link::Subscribed &subscribed) override;
    void on_ended(Subscription &subscription, CloseCode code, const std::string &reason) override;
    void on_published(const link::Published &published) override;

  protected:
    void on_message(bool is_text, std::string_view text) override;

  private:
    struct Publishing {
        TopicPath topic;
        std::string ref;
    };

    // Closes a client whose messages are not taken any more.
    void give_up(CloseCode code, std::string_view sentence);
    void carry_out(ClientMessage message, const std::string &ref);
    void subscribe(ClientMessage message, const std::string &ref);
    void unsubscribe(const ClientMessage &message, const std::string &ref);
    void publish(ClientMessage message, const std::string &ref);
    Subscription *find(const TopicPath &topic);
    bool is_second(const Subscription &subscription) const;
    void answer(std::string_view type, const TopicPath *topic, const JsonFields &data);
    // Answers a message that cannot be done.
    void refuse(CloseCode code, std::string_view sentence, const TopicPath *topic,
                const std::string &ref);
    void answer_error(CloseCode code, std::string_view sentence, const TopicPath *topic,
                      const std::string &ref);

    TokenBucket bucket_;
    uint64_t last_request_ = 0;
    std::map<uint64_t, Publishing> publishing_; // by request, until the hub answers
};

} // namespace rtd::net
