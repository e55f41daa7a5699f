// Plain HTTP: what a request gets for an answer, or that it is to become a WebSocket or a question
// to the hub. Decides only; net/server.h does.
#pragma once
#include "core/fence.h"
#include "core/http_request.h"
#include "core/request_path.h"
#include "core/result.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rtd::net {

struct Answer {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::string headers; // further header lines, each with its end of line
};

// The whole response. The connection is closed after it: a request head is read by us only once.
std::string render(const Answer &answer, bool with_body);

Answer error_answer(int status, std::string_view sentence, std::string headers = "");
Answer readiness_answer(bool ready, std::string_view detail);

struct AskReadiness {}; // answered once the hub has answered

struct Policy {
    const std::vector<std::string> &allowed_origins;
    bool is_full; // no room for another WebSocket
};

using Route = std::variant<Answer, AskReadiness, TopicPath>;
Route route(const Result<HttpRequest> &request, const Policy &policy);

} // namespace rtd::net
