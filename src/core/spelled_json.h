// JSON that jsonb cannot hold, spelled so that it can: jsonb refuses the escape \u0000, halves of
// surrogate pairs and numbers beyond numeric's range, all of which are JSON and may be in a column
// of type json. Such a string is kept with the escape spelled out (a backslash, u0000), such a
// number becomes a string, and nothing else changes; so one value does not take a whole result with
// it.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace rtd {

struct SpelledJson {
    std::string text;
    size_t altered = 0; // strings and numbers
    std::string where;  // the first of them, as in $[2].doc.name; for the log
};

// `json` is JSON, or else the result is none either. `fits(number)` says whether jsonb can hold it.
SpelledJson spell_out(std::string_view json, bool (*fits)(std::string_view number));

} // namespace rtd
