// Environment: what all connections of the gateway share.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "gateway/session/connections.h"
#include "gateway/session/hub.h"
#include "gateway/session/refusal_log.h"
#include "gateway/session/wait_list.h"
#include "gateway/transport/poller.h"
#include "gateway/websocket/deflate.h"

namespace rtd::net {

struct Environment {
    Environment(uv_loop_t *loop, Hub &hub);

    uv_loop_t *loop;
    Hub &hub;
    link::Settings settings; // as they are now
    Poller poller;
    Connections connections; // whose sockets the poller must outlive
    Deflater deflater;
    Inflater inflater;
    RefusalLog refusals;

    WaitList heads;     // for a whole request
    WaitList upgrades;  // for the hub's answer, which goes out with that to the upgrade
    WaitList answers;   // for the answer to be read, which may also be long in coming
    WaitList snapshots; // for the first message of a topic
    WaitList signs;     // for a sign of life: the ping interval
    WaitList goodbyes;  // for the client to close
};

} // namespace rtd::net
