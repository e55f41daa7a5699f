// Heartbeats: messages by which the programs of clients ask whether the connection lives, because a
// script in a browser cannot send ping frames. Keep-alive libraries and mobile clients send one of
// a few texts; docs/PROTOCOL.md lists them.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <string_view>

namespace rtd {

// What is longer is no heartbeat, and is not looked at.
inline constexpr size_t kMaxHeartbeatBytes = 512;

struct Heartbeat {
    std::string answer;     // the text to send; empty: the control message rtd_pong
    std::string ref;        // of rtd_pong: JSON text; may be empty
    bool is_action = false; // it has an `action`, as messages of clients of many topics
};

// `text` is valid UTF-8. nullopt: it is no heartbeat.
std::optional<Heartbeat> parse_heartbeat(std::string_view text);

} // namespace rtd
