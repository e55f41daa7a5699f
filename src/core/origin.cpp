#include "core/origin.h"

#include "core/http_request.h"

#include <algorithm>

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

} // namespace

bool is_origin_allowed(std::string_view origin, std::string_view host,
                       const std::vector<std::string> &allowed) {
    if (origin.empty())
        return true;
    std::string_view own = authority(origin);
    std::string_view default_port = origin.starts_with("https:") ? ":443" : ":80";
    if (!own.empty() && equal_ignoring_case(own, without_end(host, default_port)))
        return true;
    return std::any_of(allowed.begin(), allowed.end(), [&](const std::string &entry) {
        return entry == "*" || equal_ignoring_case(without_end(entry, "/"), origin);
    });
}

} // namespace rtd
