// Arrival: a connection whose request has not come in whole. It reads the head, parses it, and
// hands the socket on; what came after the head goes along.
#pragma once
#include "core/fence.h"
#include "core/http_request.h"
#include "net/address.h"
#include "net/connection.h"

#include <functional>
#include <string>
#include <string_view>

namespace rtd::net {

class Arrival final : public Connection {
  public:
    using OnRequest =
        std::function<void(Arrival &, const Result<HttpRequest> &, std::string_view what_follows)>;

    Arrival(Environment &environment, Socket socket, const Address &address,
            const OnRequest &on_request);

    // Called once it is one of Connections.
    void begin() { read_now(); }
    const Address &address() const { return address_; }
    Admission::Ticket &ticket() { return socket().ticket; }
    // After this the arrival is gone.
    Socket take_socket();

  protected:
    void on_data(std::string_view bytes) override;
    void on_plain_http() override;

  private:
    Address address_;
    const OnRequest &on_request_;
    std::string head_;
};

} // namespace rtd::net
