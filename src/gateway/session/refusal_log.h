// RefusalLog: counts what is refused and tells the hub, whose log it goes to, every ten seconds in
// which there is something to tell.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/refusal_reason.h"
#include "gateway/admission/refusals.h"
#include "gateway/session/hub.h"
#include "gateway/transport/uv_handle.h"

#include <string>
#include <string_view>

namespace rtd::net {

class RefusalLog {
  public:
    RefusalLog(uv_loop_t *loop, Hub &hub);

    // A connection, for a limit or a TLS error, which have words of their own.
    void count(const std::string &reason, const Address &address);
    // A connection that becomes no client.
    void count(RefusalReason reason, std::string_view sentence, const Address &address);
    // Of a client: a subscription or a message.
    void count(Refusals::Thing thing, CloseCode code, std::string_view sentence,
               const Subnet &from);
    void count(Refusals::Thing thing, RefusalReason reason, std::string_view sentence,
               const Subnet &from);

    // Tells what has not been told yet.
    void report();

  private:
    void begin_period(bool is_first);

    Hub &hub_;
    Refusals refusals_;
    UvHandle<uv_timer_t> due_; // runs while there are some to tell
};

} // namespace rtd::net
