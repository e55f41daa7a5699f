#include "net/http.h"

#include "core/envelope.h"
#include "core/json_text.h"
#include "core/names.h"
#include "core/origin.h"
#include "core/websocket_extensions.h"
#include "net/page.h"

#include <algorithm>
#include <cctype>
#include <openssl/evp.h>

namespace rtd::net {

namespace {

constexpr std::string_view kNoStore = "Cache-Control: no-store\r\n";

const char *reason_phrase(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
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

constexpr std::string_view kComeBack = "Retry-After: 1\r\n";

std::string_view sentence_of(Refusal refusal) {
    switch (refusal) {
    case Refusal::max_clients:
        return "the server has as many clients as it may have";
    case Refusal::max_clients_per_address:
        return "your address has as many connections as it may have";
    case Refusal::connection_rate:
        return "your address opens connections faster than it may";
    case Refusal::under_way:
        return "the server is reading as many requests as it may";
    }
    return "";
}

// What WebSockets and other clients of a topic have in common: its path and `since`.
Result<Join> parse_join(const RequestPath &path, size_t first, Join::As as) {
    Result<TopicPath> topic = parse_topic_path(path.segments, first);
    if (!topic)
        return Problem{topic.error()};
    Result<std::string> since = query_value(path.query, "since");
    if (!since)
        return Problem{since.error()};
    if (!since->empty() && !parse_message_id(*since))
        return Problem{std::string(kBadSince)};
    return Join{as, std::move(*topic), std::move(*since), {}, {}, {}, {}};
}

Route route_websocket(const HttpRequest &request, const RequestPath &path, const Policy &policy) {
    Result<Join> join = Join{Join::As::multiplexed, {}, {}, {}, {}, {}, {}};
    if (path.segments.size() > 1)
        join = parse_join(path, 1, Join::As::websocket);
    if (!join)
        return error_answer(400, join.error());
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
    Result<std::string> extensions = negotiate_websocket_extensions(request.websocket_extensions);
    if (!extensions)
        return error_answer(400, extensions.error());
    if (!is_origin_allowed(request.origin, request.host, policy.allowed_origins))
        return error_answer(403, "pages of this origin may not connect");
    if (policy.refusal)
        return limit_answer(*policy.refusal);
    join->websocket_key = request.websocket_key;
    if (policy.compresses)
        join->websocket_extensions = std::move(*extensions);
    return std::move(*join);
}

// The answer depends on the page that asks, and caches have to know (CORS).
std::string cors_headers(const HttpRequest &request) {
    std::string headers = "Vary: Origin\r\n";
    if (!request.origin.empty())
        headers += "Access-Control-Allow-Origin: " + request.origin +
                   "\r\nAccess-Control-Expose-Headers: ETag\r\n";
    return headers;
}

// An event stream or a snapshot: requests that pages of other origins make by fetch() and
// EventSource, where the browser asks for headers and, sometimes, beforehand.
Route route_fetch(const HttpRequest &request, const RequestPath &path, const Policy &policy,
                  Join::As as) {
    bool is_stream = as == Join::As::event_stream;
    std::string methods = is_stream ? "GET" : "GET, HEAD";
    if (!is_origin_allowed(request.origin, request.host, policy.allowed_origins))
        return error_answer(403, "pages of this origin may not connect", "Vary: Origin\r\n");
    std::string headers = cors_headers(request);
    if (request.method == "OPTIONS")
        return Answer{204, "", "",
                      headers + "Access-Control-Allow-Methods: " + methods +
                          "\r\nAccess-Control-Allow-Headers: Authorization, If-None-Match, "
                          "Last-Event-ID\r\nAccess-Control-Max-Age: 600\r\nAllow: " +
                          methods + ", OPTIONS\r\n"};
    if (request.method != "GET" && (is_stream || request.method != "HEAD"))
        return error_answer(405, "only " + methods + " and OPTIONS are allowed here",
                            headers + "Allow: " + methods + ", OPTIONS\r\n");
    Result<Join> join = parse_join(path, is_stream ? 1 : 3, as);
    if (!join)
        return error_answer(400, join.error(), headers);
    if (is_stream && !request.last_event_id.empty()) {
        if (!parse_message_id(request.last_event_id))
            return error_answer(400, "Last-Event-ID must be the id of a message", headers);
        join->since = request.last_event_id; // newer than what the address was made with
    }
    if (policy.refusal)
        return limit_answer(*policy.refusal, headers);
    if (!is_stream)
        join->if_none_match = request.if_none_match;
    join->headers = std::move(headers);
    return std::move(*join);
}

bool is_snapshot_path(const RequestPath &path) {
    return path.segments.size() >= 3 && path.segments[0] == "api" && path.segments[1] == "v1" &&
           path.segments[2] == "topics";
}

int status_of(CloseCode code) {
    switch (code) {
    case CloseCode::bad_request:
    case CloseCode::protocol_error:
    case CloseCode::not_text:
    case CloseCode::bad_utf8:
    case CloseCode::too_big:
        return 400;
    case CloseCode::unauthorized:
        return 401;
    case CloseCode::forbidden:
        return 403;
    case CloseCode::unknown_topic:
    case CloseCode::topic_dropped:
        return 404;
    case CloseCode::internal_error:
        return 500;
    case CloseCode::going_away:
    case CloseCode::unavailable:
    case CloseCode::too_slow:
    case CloseCode::topic_changed:
    case CloseCode::too_many:
        return 503;
    }
    return 500;
}

} // namespace

// SHA-1 because RFC 6455 says so; it proves to the client that its request was understood, and
// protects nothing.
std::string upgrade_head(std::string_view key, std::string_view extensions) {
    constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static EVP_MD *const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr); // a slow search, so once
    std::string text(key);
    text += kGuid;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes = 0;
    EVP_Digest(text.data(), text.size(), digest, &digest_bytes, sha1, nullptr);
    unsigned char accept[2 * EVP_MAX_MD_SIZE];
    EVP_EncodeBlock(accept, digest, static_cast<int>(digest_bytes));
    std::string head("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    head += reinterpret_cast<const char *>(accept);
    if (!extensions.empty())
        head.append("\r\nSec-WebSocket-Extensions: ").append(extensions);
    return head.append(kHeadEnd);
}

std::string render_head(const Answer &answer, size_t body_bytes) {
    std::string text =
        "HTTP/1.1 " + std::to_string(answer.status) + " " + reason_phrase(answer.status) + "\r\n";
    bool has_body = answer.status != 204 && answer.status != 304;
    if (has_body)
        text += "Content-Type: " + answer.content_type +
                "\r\nContent-Length: " + std::to_string(body_bytes) +
                "\r\nX-Content-Type-Options: nosniff\r\n";
    return text + answer.headers + "Connection: close\r\n\r\n";
}

std::string render(const Answer &answer, bool with_body) {
    std::string text = render_head(answer, answer.body.size());
    if (with_body)
        text += answer.body;
    return text;
}

Answer error_answer(int status, std::string_view sentence, std::string headers) {
    return {status, "application/json", "{\"error\":" + json_quote(sentence) + "}\n",
            headers.append(kNoStore)};
}

Answer refusal_answer(CloseCode code, std::string_view sentence, std::string headers) {
    int status = status_of(code);
    if (status == 503)
        headers += kComeBack;
    return error_answer(status, sentence, std::move(headers));
}

Answer limit_answer(Refusal refusal, std::string headers) {
    bool is_of_address =
        refusal == Refusal::max_clients_per_address || refusal == Refusal::connection_rate;
    Answer answer =
        error_answer(is_of_address ? 429 : 503, sentence_of(refusal), headers.append(kComeBack));
    answer.refusal = refusal;
    return answer;
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
    if (std::string_view problem = framing_problem(*request); !problem.empty())
        return error_answer(400, problem);
    Result<RequestPath> path = parse_request_path(request->target);
    if (!path)
        return error_answer(400, path.error());

    std::string_view first = path->segments.empty() ? "" : std::string_view(path->segments[0]);
    if (first == "ws")
        return route_websocket(*request, *path, policy);
    if (first == "sse")
        return route_fetch(*request, *path, policy, Join::As::event_stream);
    if (is_snapshot_path(*path))
        return route_fetch(*request, *path, policy, Join::As::snapshot);
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
