// An entry of rtd.allowed_origins and the Origin of a request, one line each: what is let in by its
// name has that name.
#include "core/header_text.h"
#include "core/origin.h"

#include "fuzz.h"

using namespace rtd;

static std::string_view host_of(std::string_view origin) {
    take_until(origin, "://");
    return origin;
}

RTD_FUZZ(origin) {
    std::string_view rest = bytes;
    std::string entry(take_until(rest, "\n"));
    std::string origin(take_until(rest, "\n"));
    Result<OriginPattern> pattern = parse_origin_pattern(entry);
    if (!pattern)
        fuzz_check(pattern.error().starts_with("\"" + entry + "\" "));
    OriginStanding standing = AllowedOrigins({entry}).standing(origin, "db.example:8787");
    if (!pattern)
        fuzz_check(standing == OriginStanding::foreign || standing == OriginStanding::none);
    // An origin without an asterisk that is no pattern itself is let in by nothing but "*".
    if (standing == OriginStanding::listed) {
        Result<OriginPattern> same = parse_origin_pattern(origin);
        fuzz_check(same && pattern->kind == OriginPattern::Kind::exact);
        fuzz_check(same->scheme == pattern->scheme && same->host.ends_with(pattern->host));
        fuzz_check(pattern->any_subdomain || same->host == pattern->host);
        fuzz_check(pattern->any_port || same->port == pattern->port);
        fuzz_check(origin.find_first_of("/@?#\\ *", origin.find("://") + 3) == std::string::npos);
    }
    // What has a wildcard lets nothing in that only looks like it.
    if (pattern && pattern->any_subdomain) {
        for (std::string evil : {"https://evil" + pattern->host, "https://" + pattern->host,
                                 "https://a." + pattern->host + ".evil.example"})
            fuzz_check(AllowedOrigins({entry}).standing(evil, "") != OriginStanding::listed ||
                       host_of(evil).ends_with("." + pattern->host));
    }
}
