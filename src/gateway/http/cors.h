// CORS: what pages of other origins may do, told to their browsers (Fetch, sections 3.2 and 3.3).
// Decides only.
#pragma once
#include "core/fence.h"
#include "core/origin.h"
#include "gateway/http/http_request.h"

#include <string>

namespace rtd::net {

// The header lines that let the page read an answer, whatever its status. Every answer that
// depends on the page says so, for caches.
std::string cors_headers(const HttpRequest &request, OriginStanding standing);

// A browser asks beforehand, on behalf of a page, whether it may make a request.
bool is_preflight(const HttpRequest &request);

// The header lines of the answer to a preflight of a page that is let in.
std::string preflight_headers(const HttpRequest &request, OriginStanding standing);

} // namespace rtd::net
