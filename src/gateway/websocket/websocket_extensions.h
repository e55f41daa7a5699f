// Sec-WebSocket-Extensions: what a client offers, and our answer. The one extension we know is
// permessage-deflate (RFC 7692). A message is compressed once and for all of its receivers, so
// what we send never refers to a message before; and we ask the same of clients, because then all
// of them can share one decompressor.
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <string>
#include <string_view>

namespace rtd {

// `offers` is the header's value, repeated headers joined by a comma. The value of the header that
// accepts the first offer we can keep; empty: none is accepted. A value that is no list of
// extensions is a problem, and the request has to be refused (RFC 6455, section 9.1).
Result<std::string> negotiate_websocket_extensions(std::string_view offers);

} // namespace rtd
