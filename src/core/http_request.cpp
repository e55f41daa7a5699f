#include "core/http_request.h"

#include <algorithm>

namespace rtd {

namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_token_char(char c) {
    constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           kMarks.find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

// What may stand in a header value and a target: no control characters, the tab apart.
bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\t';
    });
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

// The text up to the next `end`, which is removed along with it.
std::string_view take_until(std::string_view &rest, std::string_view end) {
    size_t at = rest.find(end);
    std::string_view taken = rest.substr(0, at);
    rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + end.size());
    return taken;
}

std::string *field_of(HttpRequest &request, std::string_view name) {
    const std::pair<std::string_view, std::string *> fields[] = {
        {"host", &request.host},
        {"origin", &request.origin},
        {"upgrade", &request.upgrade},
        {"connection", &request.connection},
        {"sec-websocket-key", &request.websocket_key},
        {"sec-websocket-version", &request.websocket_version},
        {"last-event-id", &request.last_event_id},
        {"if-none-match", &request.if_none_match},
    };
    for (const auto &[known, value] : fields)
        if (equal_ignoring_case(name, known))
            return value;
    return nullptr;
}

} // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

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
