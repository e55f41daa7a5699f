// The words that HTTP header lines are made of (RFC 9110, section 5.6).
#pragma once
#include "core/fence.h"

#include <string_view>

namespace rtd {

bool equal_ignoring_case(std::string_view a, std::string_view b);
// At least one character, and none that separates words.
bool is_token(std::string_view text);
// Without the blanks and tabs around it.
std::string_view trim(std::string_view text);
// The text up to the next `end`, which is removed along with it.
std::string_view take_until(std::string_view &rest, std::string_view end);

} // namespace rtd
