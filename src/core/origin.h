// The origin rule: which web pages may open a WebSocket. A browser sends Origin with every upgrade
// and lets any page connect anywhere, so the server has to say no.
#pragma once
#include "core/fence.h"

#include <string>
#include <string_view>
#include <vector>

namespace rtd {

// True without an Origin (no browser), for the server's own pages, and for an origin on the list,
// where "*" is every origin.
//
// An own page is one whose host and port are those of the Host header, under "localhost" or an IP
// address. Under another name it has to be on the list: anybody can point a name of theirs at
// 127.0.0.1 ("DNS rebinding"), and the page they serve under it would pass for one of ours.
bool is_origin_allowed(std::string_view origin, std::string_view host,
                       const std::vector<std::string> &allowed);

} // namespace rtd
