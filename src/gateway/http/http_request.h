// HttpRequest: the head of an HTTP/1 request. Strict: what two servers in a row could understand
// differently is refused.
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <string>
#include <string_view>

namespace rtd {

inline constexpr size_t kMaxHeadBytes = 16384;
inline constexpr std::string_view kHeadEnd = "\r\n\r\n";

struct HttpRequest {
    std::string method;
    std::string target;
    // The headers this server looks at, as sent; repeated ones joined by a comma.
    std::string host;
    std::string origin;
    std::string upgrade;
    std::string connection;
    std::string websocket_key;
    std::string websocket_version;
    std::string websocket_extensions;
    std::string websocket_protocols;
    std::string last_event_id;
    std::string if_none_match;
    std::string asked_method;         // Access-Control-Request-Method
    std::string asked_headers;        // Access-Control-Request-Headers
    std::string asks_private_network; // Access-Control-Request-Private-Network
    std::string asks_local_network;   // Access-Control-Request-Local-Network
    std::string content_length;
    std::string transfer_encoding;
    bool is_http_1_1 = false;

    // Asks for a WebSocket, well-formed or not.
    bool wants_websocket() const;
};

// What is wrong with the request as a whole, as a sentence; empty: nothing. RFC 9112 asks for one
// Host, and a body of which two proxies could see different ends must not be guessed at.
std::string_view framing_problem(const HttpRequest &request);

// `head` is everything up to and including the empty line.
Result<HttpRequest> parse_http_request(std::string_view head);

// Whether a comma-separated header value has `token` as an element, in any case of letters.
bool has_token(std::string_view value, std::string_view token);

// Whether the value of If-None-Match names `etag`, which includes its quotes.
bool matches_etag(std::string_view if_none_match, std::string_view etag);

} // namespace rtd
