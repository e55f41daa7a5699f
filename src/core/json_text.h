// JSON strings, written without a tree. The one way in which core/, hub and gateway quote text.
#pragma once
#include "core/fence.h"

#include <string>
#include <string_view>
#include <vector>

namespace rtd {

// `text` (UTF-8) as a JSON string, quotes included.
std::string json_quote(std::string_view text);
// An array of strings.
std::string json_array(const std::vector<std::string> &texts);

} // namespace rtd
