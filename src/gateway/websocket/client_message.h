// What a client says on the multiplexed WebSocket: one JSON object with an `action`, see
// docs/PROTOCOL.md. Strict on purpose, as core/request_path.h is: an unknown member is a
// mistake that would otherwise show up as something else.
#pragma once
#include "core/fence.h"
#include "core/request_path.h"
#include "core/result.h"

#include <string>
#include <string_view>

namespace rtd {

struct ClientMessage {
    enum class Action { subscribe, unsubscribe, publish, ping };

    Action action = Action::ping;
    TopicPath topic;   // of all but ping
    std::string since; // of subscribe: the id of the last message the client has; empty: none
    std::string data;  // of publish: JSON text as the client wrote it
    std::string type;  // of publish; empty: the topic's own
};

// The `ref` of a message is wanted even if nothing else can be understood.
struct ParsedClientMessage {
    std::string ref; // JSON text of a string or an integer; empty: none
    Result<ClientMessage> message;
};

// Whether a value, as JSON text, may be a `ref`: a string or an integer, of bounded length.
bool is_client_ref(std::string_view value);

// `text` is valid UTF-8.
ParsedClientMessage parse_client_message(std::string_view text);

} // namespace rtd
