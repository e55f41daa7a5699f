#include "core/origin.h"

#include "core/header_text.h"

#include <algorithm>
#include <arpa/inet.h>

namespace rtd {

namespace {

// "http://localhost:8787" gives "localhost:8787"; a scheme's own port is left out, as browsers do.
std::string_view authority(std::string_view origin) {
    for (auto [scheme, port] :
         {std::pair<std::string_view, std::string_view>{"http://", ":80"},
          std::pair<std::string_view, std::string_view>{"https://", ":443"}}) {
        if (!origin.starts_with(scheme))
            continue;
        origin.remove_prefix(scheme.size());
        if (origin.ends_with(port))
            origin.remove_suffix(port.size());
        return origin;
    }
    return {};
}

std::string_view without_end(std::string_view text, std::string_view end) {
    return text.ends_with(end) ? text.substr(0, text.size() - end.size()) : text;
}

// "localhost:8787", "app.localhost", "127.0.0.1:8787" or "[::1]:8787": no name that somebody else
// can register.
bool is_local_or_address(std::string_view authority) {
    std::string host(authority);
    if (size_t bracket = host.find(']'); host.starts_with('[') && bracket != std::string::npos) {
        in6_addr address;
        return inet_pton(AF_INET6, host.substr(1, bracket - 1).c_str(), &address) == 1;
    }
    host = host.substr(0, host.find(':'));
    constexpr size_t kLocalBytes = std::string_view("localhost").size();
    bool is_local = host.size() >= kLocalBytes &&
                    equal_ignoring_case(std::string_view(host).substr(host.size() - kLocalBytes),
                                        "localhost") &&
                    (host.size() == kLocalBytes || host[host.size() - kLocalBytes - 1] == '.');
    in_addr address;
    return is_local || inet_pton(AF_INET, host.c_str(), &address) == 1;
}

} // namespace

bool is_origin_allowed(std::string_view origin, std::string_view host,
                       const std::vector<std::string> &allowed) {
    if (origin.empty())
        return true;
    std::string_view own = authority(origin);
    std::string_view default_port = origin.starts_with("https:") ? ":443" : ":80";
    if (!own.empty() && equal_ignoring_case(own, without_end(host, default_port)) &&
        is_local_or_address(own))
        return true;
    return std::any_of(allowed.begin(), allowed.end(), [&](const std::string &entry) {
        return entry == "*" || equal_ignoring_case(without_end(entry, "/"), origin);
    });
}

} // namespace rtd
