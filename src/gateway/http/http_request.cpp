#include "gateway/http/http_request.h"

#include "core/header_text.h"

#include <algorithm>

namespace rtd {

namespace {

// What may stand in a header value and a target: no control characters, the tab apart.
bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\t';
    });
}

std::string *field_of(HttpRequest &request, std::string_view name) {
    const std::pair<std::string_view, std::string *> fields[] = {
        {"host", &request.host},
        {"origin", &request.origin},
        {"upgrade", &request.upgrade},
        {"connection", &request.connection},
        {"sec-websocket-key", &request.websocket_key},
        {"sec-websocket-version", &request.websocket_version},
        {"sec-websocket-extensions", &request.websocket_extensions},
        {"sec-websocket-protocol", &request.websocket_protocols},
        {"last-event-id", &request.last_event_id},
        {"if-none-match", &request.if_none_match},
        {"access-control-request-method", &request.asked_method},
        {"access-control-request-headers", &request.asked_headers},
        {"access-control-request-private-network", &request.asks_private_network},
        {"access-control-request-local-network", &request.asks_local_network},
        {"content-length", &request.content_length},
        {"transfer-encoding", &request.transfer_encoding},
    };
    for (const auto &[known, value] : fields)
        if (equal_ignoring_case(name, known))
            return value;
    return nullptr;
}

} // namespace

bool has_token(std::string_view value, std::string_view token) {
    while (!value.empty())
        if (equal_ignoring_case(trim(take_until(value, ",")), token))
            return true;
    return false;
}

bool matches_etag(std::string_view if_none_match, std::string_view etag) {
    while (!if_none_match.empty()) {
        std::string_view candidate = trim(take_until(if_none_match, ","));
        if (candidate.starts_with("W/")) // a weak one is good enough for If-None-Match
            candidate.remove_prefix(2);
        if (candidate == etag || candidate == "*")
            return true;
    }
    return false;
}

bool HttpRequest::wants_websocket() const {
    return has_token(connection, "upgrade") && has_token(upgrade, "websocket");
}

std::string_view framing_problem(const HttpRequest &request) {
    // Repeated headers are joined by a comma, which neither of these may have.
    if (request.host.find(',') != std::string::npos ||
        (request.is_http_1_1 && request.host.empty()))
        return "the request must have one Host header";
    if (request.content_length.find_first_not_of("0123456789") != std::string::npos)
        return "Content-Length must be one whole number";
    if (!request.content_length.empty() && !request.transfer_encoding.empty())
        return "Content-Length and Transfer-Encoding exclude each other";
    return {};
}

Result<HttpRequest> parse_http_request(std::string_view head) {
    if (!head.ends_with(kHeadEnd))
        return Problem{"the request does not end with an empty line"};
    head.remove_suffix(2);

    HttpRequest request;
    std::string_view line = take_until(head, "\r\n");
    request.method = take_until(line, " ");
    request.target = take_until(line, " ");
    if (!is_token(request.method) || request.target.empty() || !is_printable(request.target))
        return Problem{"the request line is malformed"};
    if (line != "HTTP/1.1" && line != "HTTP/1.0")
        return Problem{"only HTTP/1.1 and HTTP/1.0 are understood"};
    request.is_http_1_1 = line == "HTTP/1.1";

    while (!head.empty()) {
        line = take_until(head, "\r\n");
        size_t colon = line.find(':');
        if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) ||
            !is_printable(line))
            return Problem{"a header line is malformed"};
        std::string *value = field_of(request, line.substr(0, colon));
        if (!value)
            continue;
        if (!value->empty())
            value->append(", ");
        value->append(trim(line.substr(colon + 1)));
    }
    return request;
}

} // namespace rtd
