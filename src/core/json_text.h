// JSON text that is written without a tree: only what error bodies and the like need.
#pragma once
#include "core/fence.h"

#include <string>
#include <string_view>

namespace rtd {

// `text` (UTF-8) as a JSON string, quotes included.
std::string json_quote(std::string_view text);

} // namespace rtd
