// HttpSession: a client that gets its messages in the answer to a plain HTTP request. The socket is
// a raw one of libwebsockets: head, body and end are ours.
#pragma once
#include "core/fence.h"
#include "net/http.h"
#include "net/session.h"

#include <string>
#include <string_view>

namespace rtd::net {

inline constexpr uint16_t kNormalClosure = 1000; // as RFC 6455 calls it

class HttpSession : public Session {
  public:
    // `headers` go into every answer.
    HttpSession(Client client, std::string headers, bool with_body)
        : Session(std::move(client)), headers_(std::move(headers)), with_body_(with_body) {}

  protected:
    void on_stuck() override;
    void on_drained() override;
    // Takes the text over, whatever waits.
    void say(std::string text);
    // The whole answer, and the end.
    void answer(const Answer &answer, uint16_t code, std::string_view reason);
    // What was said is the last; the client then closes the connection.
    void finish(uint16_t code, std::string_view reason);

    const std::string &headers() const { return headers_; }
    bool with_body() const { return with_body_; }

  private:
    std::string headers_;
    bool with_body_;
    bool is_shut_ = false;
};

} // namespace rtd::net
