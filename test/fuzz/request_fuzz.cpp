// What a stranger sends first: the head of an HTTP request, and all that is made of it.
#include "gateway/http/http_request.h"
#include "core/log_text.h"
#include "core/origin.h"
#include "core/request_path.h"
#include "core/utf8.h"

#include "fuzz.h"

using namespace rtd;

static void check_path(const std::string &target) {
    Result<RequestPath> path = parse_request_path(target);
    if (!path) {
        fuzz_check(is_valid_utf8(path.error())); // it goes into an answer
        return;
    }
    Result<std::string> since = query_value(path->query, "since");
    fuzz_check(since ? true : is_valid_utf8(since.error()));
    Result<TopicPath> topic = parse_topic_path(path->segments, 1);
    if (!topic) {
        fuzz_check(is_valid_utf8(topic.error()));
        return;
    }
    fuzz_check(is_valid_utf8(topic->topic));
    fuzz_check(topic->params.size() <= kMaxParams);
    for (const std::string &param : topic->params)
        fuzz_check(param.size() <= kMaxParamBytes && is_valid_utf8(param));
}

RTD_FUZZ(request) {
    std::string head(bytes);
    head += kHeadEnd;
    head.resize(head.find(kHeadEnd) + kHeadEnd.size()); // as far as the gateway reads
    Result<HttpRequest> request = parse_http_request(head);
    if (!request) {
        fuzz_check(is_valid_utf8(request.error()));
        return;
    }
    fuzz_check(!request->method.empty() && !request->target.empty());
    // What is handed on must not be able to begin a line of its own.
    for (const std::string *value :
         {&request->method, &request->target, &request->host, &request->origin,
          &request->websocket_key, &request->last_event_id, &request->if_none_match})
        fuzz_check(value->find_first_of("\r\n") == std::string::npos);
    request->wants_websocket();
    matches_etag(request->if_none_match, "\"1-1\"");
    // Only what is well-formed is let in by name, and every origin is shown in the log.
    AllowedOrigins allowed({"https://example.org", "https://*.example.org", "http://localhost:*"});
    OriginStanding standing = allowed.standing(request->origin, request->host);
    fuzz_check(standing != OriginStanding::anybody);
    fuzz_check((standing == OriginStanding::none) == request->origin.empty());
    fuzz_check(standing != OriginStanding::listed ||
               request->origin.find("example.org") != std::string::npos ||
               request->origin.size() > 10);
    fuzz_check(is_valid_utf8(printable(request->origin, 120)));
    check_path(request->target);
}
