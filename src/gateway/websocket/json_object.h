// JSON as clients send it, taken apart without being changed: numbers keep all their digits, which
// a parser into machine numbers (jansson's, for one) rounds or refuses.
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtd {

struct JsonMember {
    std::string name;
    std::string_view value; // its text, from the first to the last character
};

// The members of the object that `text` (valid UTF-8) is. The whole text is checked to be JSON.
Result<std::vector<JsonMember>> split_json_object(std::string_view text);
// The elements of an array that is valid JSON; nullopt for any other value.
std::optional<std::vector<std::string_view>> split_json_array(std::string_view value);
// The string that a value is, without escapes; nullopt for any other value, and for a string that
// PostgreSQL cannot hold: with a NUL character or half a surrogate pair.
std::optional<std::string> json_string(std::string_view value);

bool is_json_string(std::string_view value);
bool is_json_integer(std::string_view value);

} // namespace rtd
