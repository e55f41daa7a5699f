// Reply: a request that is answered once, by somebody who is no client of topics.
#pragma once
#include "core/fence.h"
#include "gateway/http/response.h"
#include "gateway/session/connection.h"

namespace rtd::net {

class Reply : public Connection {
  public:
    Reply(Environment &environment, AdmittedSocket socket, bool with_body)
        : Connection(environment, std::move(socket)), with_body_(with_body) {
        environment.answers.begin(wait());
        start_reading();
    }

    void answer(const Answer &answer) {
        if (is_gone())
            return;
        say(render(answer, with_body_), WireMessage::Kind::http);
        leave(true);
    }

  protected:
    void on_data(std::string_view) override {} // what follows the request is not looked at
    void on_end() override {}                  // it may still read

  private:
    bool with_body_;
};

} // namespace rtd::net
