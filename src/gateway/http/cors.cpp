#include "gateway/http/cors.h"

#include "core/header_text.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace rtd::net {

namespace {

// What pages and their libraries send besides what needs no permission: those that make an
// EventSource of fetch() send Cache-Control.
constexpr std::string_view kUsualHeaders[] = {"Authorization", "Cache-Control", "Content-Type",
                                              "If-None-Match", "Last-Event-ID"};
constexpr size_t kMaxAskedHeaders = 64;

// Names of headers are allowed as they are asked for: those that the gateway does not know it does
// not look at. A list that is none is ignored as a whole.
std::vector<std::string_view> asked_headers(std::string_view list) {
    std::vector<std::string_view> names;
    while (!list.empty()) {
        std::string_view name = trim(take_until(list, ","));
        if (name.empty())
            continue;
        if (!is_token(name) || names.size() == kMaxAskedHeaders)
            return {};
        names.push_back(name);
    }
    return names;
}

std::string allowed_headers(std::string_view asked) {
    std::string allowed;
    for (std::string_view name : kUsualHeaders)
        allowed.append(allowed.empty() ? "" : ", ").append(name);
    for (std::string_view name : asked_headers(asked)) {
        bool is_usual = std::ranges::any_of(kUsualHeaders, [&](std::string_view usual) {
            return equal_ignoring_case(usual, name);
        });
        if (!is_usual)
            allowed.append(", ").append(name);
    }
    return allowed;
}

} // namespace

// Credentials are for those who are named: with "*" any page could act as whoever is signed in.
std::string cors_headers(const HttpRequest &request, OriginStanding standing) {
    std::string headers = "Vary: Origin\r\n";
    if (standing == OriginStanding::none || standing == OriginStanding::foreign)
        return headers;
    headers += "Access-Control-Allow-Origin: " + request.origin + "\r\n";
    if (standing == OriginStanding::listed)
        headers += "Access-Control-Allow-Credentials: true\r\n";
    return headers + "Access-Control-Expose-Headers: ETag, Retry-After\r\n";
}

bool is_preflight(const HttpRequest &request) {
    return request.method == "OPTIONS" && !request.origin.empty() && !request.asked_method.empty();
}

std::string preflight_headers(const HttpRequest &request, OriginStanding standing) {
    std::string headers = cors_headers(request, standing);
    headers += "Vary: Access-Control-Request-Method, Access-Control-Request-Headers, "
               "Access-Control-Request-Private-Network\r\n"
               "Access-Control-Allow-Methods: GET, HEAD\r\nAccess-Control-Allow-Headers: " +
               allowed_headers(request.asked_headers) + "\r\nAccess-Control-Max-Age: 600\r\n";
    // A page of the internet asks for a server in the private network. Older and newer browsers
    // call it differently.
    if (request.asks_private_network == "true")
        headers += "Access-Control-Allow-Private-Network: true\r\n";
    if (request.asks_local_network == "true")
        headers += "Access-Control-Allow-Local-Network: true\r\n";
    return headers;
}

} // namespace rtd::net
