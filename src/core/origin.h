// The origin rule: which web pages may connect. A browser sends Origin with every upgrade and with
// every fetch across origins, and lets any page connect anywhere, so the server has to say no.
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace rtd {

// What a page may do here.
enum class OriginStanding {
    none,    // no Origin: this is no page of another origin
    own,     // a page of the gateway itself
    listed,  // its origin, or the domain it is in, is named: it may also send credentials
    anybody, // let in by "*", or by a name that any page can have: without credentials
    foreign, // refused
};

// One entry of rtd.allowed_origins, in the form in which origins are compared.
struct OriginPattern {
    enum class Kind { everything, opaque, exact };

    Kind kind = Kind::exact;
    std::string scheme; // in lower case; of an opaque origin, all of it
    std::string host;   // in lower case; an IPv6 address in its shortest form, in brackets
    std::string port;   // empty: the scheme's own
    bool any_subdomain = false;
    bool any_port = false;
};

// `*`, `null`, `file://`, or scheme://host[:port], where "*." before the host stands for one or
// more labels (and not for none), and ":*" for any port. The problem is a sentence that names the
// entry: an origin that no browser sends would silently let nobody in.
Result<OriginPattern> parse_origin_pattern(std::string_view entry);

class AllowedOrigins {
  public:
    AllowedOrigins() = default;
    // Entries that are no patterns match nothing; the setting's check refuses them.
    explicit AllowedOrigins(const std::vector<std::string> &entries);

    // An own page is one whose host and port are those of the Host header, under "localhost" or an
    // IP address. Under another name it has to be listed: anybody can point a name of theirs at
    // 127.0.0.1 ("DNS rebinding"), and the page they serve under it would pass for one of ours.
    OriginStanding standing(std::string_view origin, std::string_view host) const;

  private:
    std::vector<OriginPattern> patterns_;
};

} // namespace rtd
