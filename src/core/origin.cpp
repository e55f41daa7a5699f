#include "core/origin.h"

#include "core/header_text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <optional>

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

// ---- patterns ----

constexpr size_t kMaxLabelBytes = 63;
constexpr size_t kMaxHostBytes = 253;

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_number(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char &c : lower)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

bool is_scheme(std::string_view text) {
    return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
    });
}

// Browsers write an IPv6 address in more than one way (with or without an IPv4 part), so both sides
// are brought into one form.
std::optional<std::string> canonical_ipv6(std::string_view bracketed) {
    std::string text(bracketed.substr(1, bracketed.size() - 2));
    in6_addr address;
    char canonical[INET6_ADDRSTRLEN];
    if (text.find('\0') != std::string::npos || // where inet_pton() would stop reading
        inet_pton(AF_INET6, text.c_str(), &address) != 1 ||
        !inet_ntop(AF_INET6, &address, canonical, sizeof canonical))
        return std::nullopt;
    return "[" + std::string(canonical) + "]";
}

// A host whose last label is a number is an IPv4 address for a browser, or nothing at all.
bool ends_in_number(std::string_view host) {
    std::string_view last = host.substr(host.rfind('.') + 1); // npos + 1 is 0
    return is_number(last) || last.starts_with("0x");
}

bool is_ipv4(const std::string &host) {
    in_addr address;
    return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

// What is wrong with a host in lower case, as the end of a sentence; empty: nothing.
std::string host_problem(const std::string &host) {
    std::string_view labels = host;
    if (labels.ends_with('.')) // the root, which browsers keep
        labels.remove_suffix(1);
    if (labels.empty())
        return "has no host";
    if (labels.size() > kMaxHostBytes)
        return "has a host that is longer than " + std::to_string(kMaxHostBytes) + " bytes";
    for (char c : labels) {
        if (c == '*')
            return "has an asterisk elsewhere than as the whole first label of the host";
        if (static_cast<unsigned char>(c) >= 0x80)
            return "has letters that browsers write in punycode, which begins with \"xn--\"";
        if (c == '@')
            return "has a user name, which no origin has";
        if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_' && c != '.')
            return "has a character in its host that no host has";
    }
    while (!labels.empty()) {
        size_t size = labels.substr(0, labels.find('.')).size();
        if (size == 0 || labels.ends_with('.'))
            return "has an empty label in its host";
        if (size > kMaxLabelBytes)
            return "has a label of more than " + std::to_string(kMaxLabelBytes) + " bytes";
        labels.remove_prefix(std::min(size + 1, labels.size()));
    }
    return "";
}

// The same for the whole entry, whose parts it puts into `pattern`.
std::string take_port(std::string_view port, OriginPattern &pattern) {
    if (port == "*") {
        pattern.any_port = true;
        return "";
    }
    constexpr size_t kMaxDigits = 5;
    if (!is_number(port) || port[0] == '0' || port.size() > kMaxDigits ||
        std::stoi(std::string(port)) > 65535)
        return "has a port that is no number from 1 to 65535";
    bool is_own =
        (pattern.scheme == "http" && port == "80") || (pattern.scheme == "https" && port == "443");
    if (!is_own) // browsers leave it out
        pattern.port = port;
    return "";
}

std::string take_host(std::string_view host, OriginPattern &pattern) {
    if (host.starts_with('[')) {
        std::optional<std::string> address = canonical_ipv6(host);
        if (!address)
            return "has no IPv6 address in its brackets";
        pattern.host = std::move(*address);
        return "";
    }
    pattern.any_subdomain = host.starts_with("*.");
    if (pattern.any_subdomain)
        host.remove_prefix(2);
    pattern.host = lower_case(host);
    if (std::string problem = host_problem(pattern.host); !problem.empty())
        return problem;
    bool is_web = pattern.scheme == "http" || pattern.scheme == "https";
    if (!is_web || !ends_in_number(pattern.host))
        return "";
    if (pattern.any_subdomain)
        return "has an asterisk before an address, which has no subdomains";
    return is_ipv4(pattern.host) ? "" : "has a host that is neither a name nor an IPv4 address";
}

std::string take_authority(std::string_view authority, OriginPattern &pattern) {
    size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
    if (bracket == std::string_view::npos)
        return "has a bracket that is not closed";
    size_t colon = authority.find(':', bracket);
    if (bracket > 0 && colon != bracket + 1 && bracket + 1 != authority.size())
        return "has something else than a port after the address";
    if (std::string problem = take_host(authority.substr(0, colon), pattern); !problem.empty())
        return problem;
    return colon == std::string_view::npos ? "" : take_port(authority.substr(colon + 1), pattern);
}

std::string take_origin(std::string_view text, OriginPattern &pattern) {
    constexpr std::string_view kMark = "://";
    size_t mark = text.find(kMark);
    if (mark == std::string_view::npos || !is_scheme(text.substr(0, mark)))
        return "does not begin with a scheme such as https://";
    pattern.scheme = lower_case(text.substr(0, mark));
    if (pattern.scheme == "ws" || pattern.scheme == "wss")
        return "has the scheme of a WebSocket: the page's own is http or https";
    std::string_view rest = text.substr(mark + kMark.size());
    if (rest.find_first_of(" \t\r\n") != std::string_view::npos)
        return "has a blank in it";
    if (rest.find_first_of("/?#\\") != std::string_view::npos)
        return "has a path, which no origin has";
    return take_authority(rest, pattern);
}

// Names that a page of anybody can have: sandboxed frames, and files.
bool is_opaque(std::string_view origin) {
    return origin == "null" || origin == "file://";
}

bool matches_host(const OriginPattern &pattern, std::string_view host) {
    if (!pattern.any_subdomain)
        return pattern.host == host;
    return host.size() > pattern.host.size() + 1 && host.ends_with(pattern.host) &&
           host[host.size() - pattern.host.size() - 1] == '.';
}

bool matches(const OriginPattern &pattern, const OriginPattern &origin) {
    return pattern.kind == OriginPattern::Kind::exact && pattern.scheme == origin.scheme &&
           matches_host(pattern, origin.host) && (pattern.any_port || pattern.port == origin.port);
}

// The origin of a request, which has no asterisks.
std::optional<OriginPattern> parse_origin(std::string_view text) {
    OriginPattern origin;
    if (text.find('*') != std::string_view::npos || !take_origin(text, origin).empty())
        return std::nullopt;
    return origin;
}

bool is_own_page(std::string_view origin, std::string_view host) {
    std::string_view own = authority(origin);
    std::string_view default_port = origin.starts_with("https:") ? ":443" : ":80";
    return !own.empty() && equal_ignoring_case(own, without_end(host, default_port)) &&
           is_local_or_address(own);
}

} // namespace

Result<OriginPattern> parse_origin_pattern(std::string_view entry) {
    OriginPattern pattern;
    std::string_view text = entry.ends_with("://") ? entry : without_end(entry, "/");
    if (entry == "*") {
        pattern.kind = OriginPattern::Kind::everything;
        return pattern;
    }
    if (std::string lower = lower_case(entry); is_opaque(lower)) {
        pattern.kind = OriginPattern::Kind::opaque;
        pattern.scheme = lower;
        return pattern;
    }
    if (std::string problem = take_origin(text, pattern); !problem.empty())
        return Problem{"\"" + std::string(entry) + "\" " + problem};
    return pattern;
}

AllowedOrigins::AllowedOrigins(const std::vector<std::string> &entries) {
    for (const std::string &entry : entries)
        if (Result<OriginPattern> pattern = parse_origin_pattern(entry))
            patterns_.push_back(std::move(*pattern));
}

OriginStanding AllowedOrigins::standing(std::string_view origin, std::string_view host) const {
    using Kind = OriginPattern::Kind;
    if (origin.empty())
        return OriginStanding::none;
    if (is_own_page(origin, host))
        return OriginStanding::own;
    std::optional<OriginPattern> parsed = parse_origin(origin);
    bool is_listed = parsed && std::ranges::any_of(patterns_, [&](const OriginPattern &pattern) {
                         return matches(pattern, *parsed);
                     });
    if (is_listed)
        return OriginStanding::listed;
    bool is_anybody = std::ranges::any_of(patterns_, [&](const OriginPattern &pattern) {
        return pattern.kind == Kind::everything ||
               (pattern.kind == Kind::opaque && pattern.scheme == origin);
    });
    return is_anybody ? OriginStanding::anybody : OriginStanding::foreign;
}

} // namespace rtd
