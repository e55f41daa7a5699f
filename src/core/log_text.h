// Text of strangers on its way to the server's log.
#pragma once
#include "core/fence.h"

#include <string>
#include <string_view>

namespace rtd {

// `text` as a part of one line, of at most `max_bytes`: control characters, which could make lines
// of their own or steer a terminal, are question marks, and so is what is not UTF-8.
std::string printable(std::string_view text, size_t max_bytes);

} // namespace rtd
