// AdmittedSocket: a client's socket with its place among all connections, which it gives back when
// it is closed.
#pragma once
#include "core/fence.h"
#include "gateway/admission/admission.h"
#include "gateway/transport/socket.h"

namespace rtd::net {

struct AdmittedSocket : Socket {
    using Socket::Socket;

    Admission::Ticket ticket;
};

} // namespace rtd::net
