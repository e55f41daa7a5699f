// Plain HTTP: what a request gets for an answer, or what kind of client it is to become. Decides
// only; gateway/server.h does.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/refusal_reason.h"
#include "gateway/admission/admission.h"
#include "gateway/http/http_request.h"
#include "gateway/http/origin.h"
#include "gateway/http/request_path.h"

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace rtd::net {

struct Answer {
    int status = 200;
    std::string content_type = "application/json";
    std::string body = {};
    std::string headers = {};                 // further header lines, each with its end of line
    std::string sentence = {};                // of an error
    std::optional<RefusalReason> reason = {}; // why it refuses, for the log
    std::optional<Refusal> refusal = {};      // the limit for which it refuses a client
};

// The whole response. The connection is closed after it: a request head is read by us only once.
std::string render(const Answer &answer, bool with_body);
// The head alone, for a body of that many bytes that is written by itself.
std::string render_head(const Answer &answer, size_t body_bytes);

// What a WebSocket begins with.
struct Upgrade {
    std::string key;        // the client's Sec-WebSocket-Key
    std::string extensions; // what is accepted of its Sec-WebSocket-Extensions; empty: nothing
    std::string protocol;   // of its Sec-WebSocket-Protocol; empty: none was offered
};
std::string upgrade_head(const Upgrade &upgrade);

Answer error_answer(int status, std::optional<RefusalReason> reason, std::string_view sentence,
                    std::string headers = "");
// What a WebSocket would be closed with, before an answer has begun.
Answer refusal_answer(CloseCode code, std::string_view sentence, std::string headers);
// 429 or 503, and when to come back.
Answer limit_answer(Refusal refusal, std::string headers = "");
Answer readiness_answer(bool ready, std::string_view detail);

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

using Route = std::variant<Answer, AskReadiness, Join>;
Route route(const HttpRequest &request, const Policy &policy);

} // namespace rtd::net
