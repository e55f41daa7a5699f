// Readiness: the requests for /readyz that wait for the hub's answer. One probe is under way at a
// time and answers everybody who waits: nobody outside may cause a flood in the hub.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "gateway/session/hub.h"
#include "gateway/session/reply.h"
#include "gateway/transport/uv_handle.h"

#include <cstdint>
#include <vector>

namespace rtd::net {

class Readiness {
  public:
    Readiness(uv_loop_t *loop, Hub &hub);

    // Answers the request, now or later.
    void ask(Environment &environment, AdmittedSocket socket, bool with_body);
    void answered(const link::Probed &probed);

  private:
    class Question;
    void answer(bool ready, const std::string &detail);

    Hub &hub_;
    uint64_t probe_ = 0;
    bool is_in_flight_ = false; // also after all who waited for it have gone
    std::vector<Question *> waiting_;
    UvHandle<uv_timer_t> deadline_;
};

} // namespace rtd::net
