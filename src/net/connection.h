// Connection: what the server keeps for a socket that it gave to libwebsockets, from adoption until
// lws forgets it. lws holds the pointer as the wsi's opaque user data.
#pragma once
#include "core/fence.h"
#include "net/http.h"
#include "net/session.h"

#include <libwebsockets.h>
#include <memory>
#include <string>

namespace rtd::net {

struct Connection {
    std::string address;
    Admission::Ticket ticket;
    Route route;
    bool with_body = true; // false: the request was HEAD
    bool is_answered = false;
    bool is_shut = false;             // the answer has been written
    lws *wsi = nullptr;               // set once lws has adopted the socket
    std::unique_ptr<Session> session; // once it is a client
};

} // namespace rtd::net
