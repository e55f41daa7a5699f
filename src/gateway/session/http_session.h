// HttpSession: a client that gets its messages in the answer to a plain HTTP request.
#pragma once
#include "core/fence.h"
#include "gateway/http/response.h"
#include "gateway/session/session.h"

#include <string>
#include <string_view>

namespace rtd::net {

inline constexpr uint16_t kNormalClosure = 1000; // as RFC 6455 calls it

class HttpSession : public Session {
  public:
    // `headers` go into every answer.
    HttpSession(Environment &environment, AdmittedSocket socket, Client client, std::string headers,
                bool with_body)
        : Session(environment, std::move(socket), std::move(client)), headers_(std::move(headers)),
          with_body_(with_body) {}

  protected:
    void on_data(std::string_view) override {} // what follows the request is not looked at
    void say(std::string text) { Connection::say(std::move(text), WireMessage::Kind::http); }
    // The whole answer, which refuses what was asked for, and the end.
    void refuse(CloseCode code, std::string_view sentence) {
        count_refusal(Refusals::Thing::subscription, code, sentence);
        answer(refusal_answer(code, sentence, headers_), static_cast<uint16_t>(code), sentence);
    }
    // The whole answer, and the end.
    void answer(const Answer &answer, uint16_t code, std::string_view reason) {
        say(render(answer, with_body_));
        finish(code, reason);
    }
    // What was said is the last; the client then closes the connection.
    void finish(uint16_t code, std::string_view reason) {
        set_close(code, reason);
        leave(true);
    }

    const std::string &headers() const { return headers_; }
    bool with_body() const { return with_body_; }

  private:
    std::string headers_;
    bool with_body_;
};

} // namespace rtd::net
