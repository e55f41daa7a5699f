// What a request gets for an answer, or what kind of client it is to become. Decides only;
// gateway/server.h does.
#pragma once
#include "core/fence.h"
#include "core/origin.h"
#include "core/request_path.h"
#include "gateway/admission/admission.h"
#include "gateway/http/http_request.h"
#include "gateway/http/response.h"

#include <optional>
#include <string>
#include <variant>

namespace rtd::net {

// No more clients, for now or of this address.
struct Limited {
    Refusal refusal;
    std::string headers = {}; // of whatever it is answered
};
// 429 or 503, and when to come back.
Answer answer_of(const Limited &limited);

struct AskReadiness {}; // answered once the hub has answered

struct Join { // becomes a client
    enum class As { websocket, multiplexed, event_stream, snapshot };
    As as = As::websocket;
    TopicPath topic = {};           // of all but multiplexed
    std::string since = {};         // id of the last message the client has; empty: none
    Upgrade upgrade = {};           // of WebSockets
    std::string if_none_match = {}; // of a snapshot
    std::string headers = {};       // for whatever is answered, see error_answer()
};

struct Policy {
    const AllowedOrigins &allowed_origins;
    std::optional<Refusal> refusal; // no client may be added; everything else is answered
    bool compresses;                // WebSocket messages
};

using Route = std::variant<Answer, Limited, AskReadiness, Join>;
Route route(const HttpRequest &request, const Policy &policy);

} // namespace rtd::net
