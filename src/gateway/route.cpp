#include "gateway/route.h"

#include "core/envelope.h"
#include "core/header_text.h"
#include "core/log_text.h"
#include "core/names.h"
#include "gateway/http/cors.h"
#include "gateway/http/page.h"
#include "gateway/websocket/websocket_extensions.h"
#include "gateway/websocket/websocket_protocols.h"

#include <algorithm>
#include <cctype>

namespace rtd::net {

namespace {

Answer page_answer() {
    return {200, "text/html; charset=utf-8", std::string(page().html), page().headers};
}

// 16 random bytes in base64: 22 letters and two equals signs.
bool is_websocket_key(std::string_view key) {
    return key.size() == 24 && key.ends_with("==") &&
           std::all_of(key.begin(), key.end() - 2,
                       [](unsigned char c) { return std::isalnum(c) || c == '+' || c == '/'; });
}

// A request as far as every answer to it depends on the page that asks.
struct Visit {
    const HttpRequest &request;
    const Policy &policy;
    OriginStanding standing;
    std::string headers; // of every answer
};

Answer refuse(const Visit &visit, int status, RefusalReason reason, std::string_view sentence,
              std::string_view headers = "") {
    return error_answer(status, reason, sentence, std::string(visit.headers).append(headers));
}

Answer refuse_origin(const Visit &visit) {
    constexpr size_t kMaxShownBytes = 120;
    return refuse(visit, 403, RefusalReason::origin,
                  "pages of " + printable(visit.request.origin, kMaxShownBytes) +
                      " may not connect: rtd.allowed_origins does not list this origin");
}

Answer refuse_method(const Visit &visit, std::string_view allowed) {
    return refuse(visit, 405, RefusalReason::method,
                  "only " + std::string(allowed) + " are allowed here",
                  "Allow: " + std::string(allowed) + "\r\n");
}

// For health checkers, and whoever asks what a path takes.
Answer options_answer(const Visit &visit, std::string_view allowed) {
    return {200, "text/plain", "",
            visit.headers + "Allow: " + std::string(allowed) + "\r\n" + std::string(kNoStore)};
}

Answer preflight_answer(const Visit &visit) {
    if (visit.standing == OriginStanding::foreign)
        return refuse_origin(visit);
    return {204, "", "",
            preflight_headers(visit.request, visit.standing) + "Allow: GET, HEAD, OPTIONS\r\n" +
                std::string(kNoStore)};
}

Result<std::string> parse_since(const RequestPath &path) {
    Result<std::string> since = query_value(path.query, "since");
    if (since && !since->empty() && !parse_message_id(*since))
        return Problem{std::string(kBadSince)};
    return since;
}

// An EventSource gives up for good when it is refused, and it sends by itself what it got last,
// perhaps from another server or a proxy: so whatever it sends is answered. Libraries that cannot
// set the header put it into the address.
Result<std::string> event_stream_since(const HttpRequest &request, const RequestPath &path) {
    std::string last = request.last_event_id;
    for (const char *name : {"lastEventId", "lastEventID"}) {
        if (!last.empty())
            break;
        Result<std::string> value = query_value(path.query, name);
        last = value ? *value : std::string(kForeignId);
    }
    if (last.empty())
        return parse_since(path); // what the page made the address with
    return parse_message_id(last) ? last : std::string(kForeignId);
}

// What WebSockets and other clients of a topic have in common: its path and where it resumes.
Result<Join> parse_join(const HttpRequest &request, const RequestPath &path, size_t first,
                        Join::As as) {
    Result<TopicPath> topic = parse_topic_path(path.segments, first);
    if (!topic)
        return Problem{topic.error()};
    Result<std::string> since =
        as == Join::As::event_stream ? event_stream_since(request, path) : parse_since(path);
    if (!since)
        return Problem{since.error()};
    return Join{as, std::move(*topic), std::move(*since)};
}

// What the upgrade is answered with; the problem is why it cannot be.
std::variant<Upgrade, Answer> negotiate(const Visit &visit) {
    const HttpRequest &request = visit.request;
    if (!request.wants_websocket())
        return refuse(visit, 426, RefusalReason::upgrade,
                      "this is a WebSocket: the request must ask for an upgrade, and a proxy must "
                      "pass the headers Upgrade and Connection on",
                      "Upgrade: websocket\r\n");
    if (request.websocket_version != "13")
        return refuse(visit, 426, RefusalReason::upgrade,
                      "only version 13 of the WebSocket protocol is understood",
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (!is_websocket_key(request.websocket_key))
        return refuse(visit, 400, RefusalReason::bad_request,
                      "the request has no valid Sec-WebSocket-Key");
    Result<std::string> extensions = negotiate_websocket_extensions(request.websocket_extensions);
    if (!extensions)
        return refuse(visit, 400, RefusalReason::bad_request, extensions.error());
    Upgrade upgrade{request.websocket_key, "", ""};
    if (visit.policy.compresses)
        upgrade.extensions = std::move(*extensions);
    switch (choose_websocket_protocol(request.websocket_protocols)) {
    case ProtocolChoice::none:
        break;
    case ProtocolChoice::rtd:
        upgrade.protocol = kWebSocketProtocol;
        break;
    case ProtocolChoice::foreign:
        return refuse(visit, 400, RefusalReason::subprotocol,
                      "the only subprotocol here is \"rtd\": offer it too, or none");
    case ProtocolChoice::malformed:
        return refuse(visit, 400, RefusalReason::bad_request,
                      "Sec-WebSocket-Protocol is no list of subprotocols");
    }
    return upgrade;
}

Route route_websocket(const Visit &visit, const RequestPath &path) {
    constexpr std::string_view kMethods = "GET, OPTIONS";
    Result<Join> join = Join{Join::As::multiplexed};
    if (path.segments.size() > 1)
        join = parse_join(visit.request, path, 1, Join::As::websocket);
    if (!join)
        return refuse(visit, 400, RefusalReason::bad_request, join.error());
    bool asks_for_options = visit.request.method == "OPTIONS";
    if (visit.request.method != "GET" && !asks_for_options)
        return refuse_method(visit, kMethods);
    // A script cannot see why an upgrade was refused, but it can ask with OPTIONS.
    if (asks_for_options)
        return visit.standing == OriginStanding::foreign ? refuse_origin(visit)
                                                         : options_answer(visit, kMethods);
    std::variant<Upgrade, Answer> negotiated = negotiate(visit);
    if (auto *answer = std::get_if<Answer>(&negotiated))
        return std::move(*answer);
    if (visit.standing == OriginStanding::foreign)
        return refuse_origin(visit);
    if (visit.policy.refusal)
        return Limited{*visit.policy.refusal, visit.headers};
    join->upgrade = std::get<Upgrade>(std::move(negotiated));
    return std::move(*join);
}

// An event stream or a snapshot: requests that pages of other origins make by fetch() and
// EventSource.
Route route_fetch(const Visit &visit, const RequestPath &path, Join::As as) {
    bool is_stream = as == Join::As::event_stream;
    std::string_view methods = is_stream ? "GET, OPTIONS" : "GET, HEAD, OPTIONS";
    const std::string &method = visit.request.method;
    if (visit.standing == OriginStanding::foreign)
        return refuse_origin(visit);
    if (method == "OPTIONS")
        return preflight_answer(visit);
    if (method != "GET" && (is_stream || method != "HEAD"))
        return refuse_method(visit, methods);
    Result<Join> join = parse_join(visit.request, path, is_stream ? 1 : 3, as);
    if (!join)
        return refuse(visit, 400, RefusalReason::bad_request, join.error());
    if (visit.policy.refusal)
        return Limited{*visit.policy.refusal, visit.headers};
    if (!is_stream)
        join->if_none_match = visit.request.if_none_match;
    join->headers = visit.headers;
    return std::move(*join);
}

bool is_snapshot_path(const RequestPath &path) {
    return path.segments.size() >= 3 && path.segments[0] == "api" && path.segments[1] == "v1" &&
           path.segments[2] == "topics";
}

constexpr std::string_view kProbeMethods = "GET, HEAD, OPTIONS";

// Of health checkers, who may write a slash at the end.
bool is_path(const RequestPath &path, std::string_view name) {
    return path.segments.size() == 1 && path.segments[0] == name;
}

std::string_view without_last_slash(std::string_view target) {
    return target == "/healthz/" || target == "/readyz/" ? target.substr(0, target.size() - 1)
                                                         : target;
}

// The page and the probes: no clients, so no limit and no origin counts.
Route route_probe(const Visit &visit, const RequestPath &path) {
    bool asks_readiness = is_path(path, "readyz");
    if (!path.segments.empty() && !is_path(path, "healthz") && !asks_readiness)
        return refuse(visit, 404, RefusalReason::not_found, "there is nothing at this path");
    const std::string &method = visit.request.method;
    if (method != "GET" && method != "HEAD" && method != "OPTIONS")
        return refuse_method(visit, kProbeMethods);
    if (asks_readiness) // whatever the method: a checker must not be told that all is well
        return AskReadiness{};
    if (method == "OPTIONS")
        return options_answer(visit, kProbeMethods);
    if (path.segments.empty())
        return page_answer();
    Answer answer{200, "application/json", "{\"status\":\"ok\"}\n"};
    answer.headers = visit.headers + std::string(kNoStore);
    return answer;
}

Route route_visit(const Visit &visit) {
    const HttpRequest &request = visit.request;
    if (std::string_view problem = framing_problem(request); !problem.empty())
        return refuse(visit, 400, RefusalReason::bad_request, problem);
    if (is_preflight(request)) // wherever it goes: only then can the page read why it fails
        return preflight_answer(visit);
    if (request.method == "OPTIONS" && request.target == "*")
        return options_answer(visit, kProbeMethods);
    Result<RequestPath> path = parse_request_path(without_last_slash(request.target));
    if (!path)
        return refuse(visit, 400, RefusalReason::bad_request, path.error());
    std::string_view first = path->segments.empty() ? "" : std::string_view(path->segments[0]);
    if (first == "ws")
        return route_websocket(visit, *path);
    if (first == "sse")
        return route_fetch(visit, *path, Join::As::event_stream);
    if (is_snapshot_path(*path))
        return route_fetch(visit, *path, Join::As::snapshot);
    return route_probe(visit, *path);
}

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

} // namespace

Answer answer_of(const Limited &limited) {
    bool is_of_address = limited.refusal == Refusal::max_clients_per_address ||
                         limited.refusal == Refusal::connection_rate;
    return error_answer(is_of_address ? 429 : 503, std::nullopt, sentence_of(limited.refusal),
                        limited.headers + std::string(kComeBack));
}

Route route(const HttpRequest &request, const Policy &policy) {
    OriginStanding standing = policy.allowed_origins.standing(request.origin, request.host);
    return route_visit({request, policy, standing, cors_headers(request, standing)});
}

} // namespace rtd::net
