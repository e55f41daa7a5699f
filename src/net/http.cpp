#include "net/http.h"

#include "core/json_text.h"
#include "core/origin.h"
#include "net/page.h"

#include <algorithm>
#include <cctype>

namespace rtd::net {

namespace {

constexpr std::string_view kNoStore = "Cache-Control: no-store\r\n";

const char *reason_phrase(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 503:
        return "Service Unavailable";
    }
    return "Error";
}

Answer page_answer() {
    return {200, "text/html; charset=utf-8", std::string(page().html), page().headers};
}

// 16 random bytes in base64: 22 letters and two equals signs.
bool is_websocket_key(std::string_view key) {
    return key.size() == 24 && key.ends_with("==") &&
           std::all_of(key.begin(), key.end() - 2,
                       [](unsigned char c) { return std::isalnum(c) || c == '+' || c == '/'; });
}

Route route_websocket(const HttpRequest &request, const RequestPath &path, const Policy &policy) {
    if (path.segments.size() == 1)
        return error_answer(400, "the path must name a topic: /ws/<topic>");
    Result<TopicPath> topic = parse_topic_path(path.segments, 1);
    if (!topic)
        return error_answer(400, topic.error());
    Result<std::string> since = query_value(path.query, "since");
    if (!since)
        return error_answer(400, since.error());
    topic->since = std::move(*since);
    if (request.method != "GET")
        return error_answer(405, "only GET is allowed here", "Allow: GET\r\n");
    if (!request.wants_websocket())
        return error_answer(426, "this is a WebSocket: the request must ask for an upgrade",
                            "Upgrade: websocket\r\n");
    if (request.websocket_version != "13")
        return error_answer(426, "only version 13 of the WebSocket protocol is understood",
                            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (!is_websocket_key(request.websocket_key))
        return error_answer(400, "the request has no valid Sec-WebSocket-Key");
    if (!is_origin_allowed(request.origin, request.host, policy.allowed_origins))
        return error_answer(403, "pages of this origin may not connect");
    if (policy.is_full)
        return error_answer(503, "the server has as many clients as it may have",
                            "Retry-After: 1\r\n");
    return *topic;
}

} // namespace

std::string render(const Answer &answer, bool with_body) {
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " " +
                       reason_phrase(answer.status) + "\r\nContent-Type: " + answer.content_type +
                       "\r\nContent-Length: " + std::to_string(answer.body.size()) +
                       "\r\nX-Content-Type-Options: nosniff\r\n" + answer.headers +
                       "Connection: close\r\n\r\n";
    if (with_body)
        text += answer.body;
    return text;
}

Answer error_answer(int status, std::string_view sentence, std::string headers) {
    return {status, "application/json", "{\"error\":" + json_quote(sentence) + "}\n",
            headers.append(kNoStore)};
}

Answer readiness_answer(bool ready, std::string_view detail) {
    return {ready ? 200 : 503, "application/json",
            std::string("{\"ready\":") + (ready ? "true" : "false") +
                ",\"detail\":" + json_quote(detail) + "}\n",
            std::string(kNoStore)};
}

Route route(const Result<HttpRequest> &request, const Policy &policy) {
    if (!request)
        return error_answer(400, request.error());
    Result<RequestPath> path = parse_request_path(request->target);
    if (!path)
        return error_answer(400, path.error());

    std::string_view first = path->segments.empty() ? "" : std::string_view(path->segments[0]);
    if (first == "ws")
        return route_websocket(*request, *path, policy);
    bool known = first.empty() || first == "healthz" || first == "readyz";
    if (!known || path->segments.size() > 1)
        return error_answer(404, "there is nothing at this path");
    if (request->method != "GET" && request->method != "HEAD")
        return error_answer(405, "only GET and HEAD are allowed here", "Allow: GET, HEAD\r\n");
    if (first == "readyz")
        return AskReadiness{};
    if (first == "healthz")
        return Answer{200, "application/json", "{\"status\":\"ok\"}\n", std::string(kNoStore)};
    return page_answer();
}

} // namespace rtd::net
