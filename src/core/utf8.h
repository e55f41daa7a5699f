// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once
#include "core/fence.h"

#include <string_view>

namespace rtd {

bool is_valid_utf8(std::string_view text);

// The longest beginning of valid UTF-8 `text` that fits into `max_bytes` and ends between two
// characters.
std::string_view truncate_utf8(std::string_view text, size_t max_bytes);

} // namespace rtd
