#include "gateway/websocket/websocket_protocols.h"

#include "core/header_text.h"

namespace rtd {

ProtocolChoice choose_websocket_protocol(std::string_view offers) {
    if (offers.empty())
        return ProtocolChoice::none;
    bool has_token = false;
    bool has_ours = false;
    while (!offers.empty()) {
        std::string_view offer = trim(take_until(offers, ","));
        if (offer.empty())
            continue; // allowed in a list
        if (!is_token(offer))
            return ProtocolChoice::malformed;
        has_token = true;
        has_ours = has_ours || offer == kWebSocketProtocol;
    }
    if (!has_token)
        return ProtocolChoice::malformed;
    return has_ours ? ProtocolChoice::rtd : ProtocolChoice::foreign;
}

} // namespace rtd
