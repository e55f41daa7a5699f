// Sends libwebsockets' errors to the server's log, few of them: what clients do wrong is no error
// of the server, and must not be able to fill its log.
#pragma once
#include "core/fence.h"

namespace rtd::net {

void log_lws_errors();

} // namespace rtd::net
