// Sec-WebSocket-Protocol and the texts of heartbeats, as strangers write them.
#include "gateway/websocket/heartbeat.h"
#include "core/utf8.h"
#include "gateway/websocket/websocket_protocols.h"

#include "fuzz.h"

using namespace rtd;

RTD_FUZZ(websocket_protocols) {
    switch (choose_websocket_protocol(bytes)) {
    case ProtocolChoice::none:
        fuzz_check(bytes.empty());
        break;
    case ProtocolChoice::rtd:
        fuzz_check(bytes.find("rtd") != std::string_view::npos);
        break;
    case ProtocolChoice::foreign:
    case ProtocolChoice::malformed:
        fuzz_check(bytes != "rtd");
    }
    if (!is_valid_utf8(bytes))
        return; // the reader refuses it
    std::optional<Heartbeat> heartbeat = parse_heartbeat(bytes);
    if (!heartbeat)
        return;
    fuzz_check(bytes.size() <= kMaxHeartbeatBytes);
    fuzz_check(heartbeat->answer.size() <= 6 && heartbeat->ref.size() <= 256);
    fuzz_check(heartbeat->ref.empty() || bytes.find(heartbeat->ref) != std::string_view::npos);
}
