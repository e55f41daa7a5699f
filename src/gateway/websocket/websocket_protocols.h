// Sec-WebSocket-Protocol: the subprotocols that a client offers, and our answer. The one we know is
// "rtd"; what follows from it is what docs/PROTOCOL.md says, as without any.
#pragma once
#include "core/fence.h"

#include <string_view>

namespace rtd {

inline constexpr std::string_view kWebSocketProtocol = "rtd";

enum class ProtocolChoice {
    none,      // nothing is offered: the answer names nothing
    rtd,       // the answer must name it
    foreign,   // others are offered, and not ours: a browser would close what chooses none
    malformed, // no list of tokens
};

// `offers` is the header's value, repeated headers joined by a comma. Subprotocols are compared
// with the case of their letters (RFC 6455, section 4.2.2).
ProtocolChoice choose_websocket_protocol(std::string_view offers);

} // namespace rtd
