// Hub: what the server needs of the hub, whatever carries the frames: today the socketpair of
// gateway/hub_link.h, later perhaps a message broker. Frames from the hub go to Server::handle().
#pragma once
#include "core/fence.h"
#include "core/link.h"

namespace rtd::net {

class Hub {
  public:
    virtual ~Hub() = default;
    // Goes out at the end of the loop's turn. Never blocks and never fails: if the hub is gone, the
    // gateway is about to exit.
    virtual void send(const link::GatewayFrame &frame) = 0;
    // The hub takes less than it is sent. Whoever would make more frames waits, until Server is
    // told that there is room again.
    virtual bool is_congested() const = 0;
    // While it is held back, frames from the hub wait.
    virtual void hold_back(bool held) = 0;
};

} // namespace rtd::net
