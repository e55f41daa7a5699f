// Arrival: a connection whose request has not come in whole. It reads the head, parses it, and
// hands the socket on; what came after the head goes along.
#pragma once
#include "core/fence.h"
#include "core/refusal_reason.h"
#include "gateway/http/http_request.h"
#include "gateway/session/connection.h"
#include "gateway/transport/address.h"

#include <string>
#include <string_view>

namespace rtd::net {

class Arrival;

// Who looks after arrivals.
class ArrivalOwner {
  public:
    virtual void on_request(Arrival &arrival, const HttpRequest &request,
                            std::string_view what_follows) = 0;
    // There is no request that could be understood. `sentence` says why.
    virtual void on_bad_request(Arrival &arrival, RefusalReason reason,
                                const std::string &sentence) = 0;
    // The request did not come within its time.
    virtual void on_slow_request(Arrival &arrival) = 0;
    // It ends without a request; mostly in the handshake.
    virtual void on_tls_failure(Arrival &arrival, const std::string &reason) = 0;

  protected:
    ~ArrivalOwner() = default;
};

class Arrival final : public Connection {
  public:
    Arrival(Environment &environment, AdmittedSocket socket, const Address &address,
            ArrivalOwner &owner);

    // Called once it is one of Connections.
    void begin() { read_now(); }
    const Address &address() const { return address_; }
    Admission::Ticket &ticket() { return socket().ticket; }
    // After this the arrival is gone.
    AdmittedSocket take_socket();

  protected:
    void on_data(std::string_view bytes) override;
    void on_plain_http() override;
    void on_late() override;
    void on_tls_failure(const std::string &reason) override;

  private:
    Address address_;
    ArrivalOwner &owner_;
    std::string head_;
};

} // namespace rtd::net
