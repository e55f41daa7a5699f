// JSON text as jsonb, also where jsonb's input function refuses a value in it: see
// core/spelled_json.h. Used by query workers for the results of topics.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/server/prelude.h"

namespace rtd::pg {

// In the current memory context. Throws pg::Error if `text` is no JSON or still cannot be held. If
// something had to be spelled out and `altered` is empty, a clause that says what.
Datum jsonb_of_text(const char *text, size_t size, std::string &altered);

// The errors of jsonb's input function for which spelling out may help.
bool is_refusal_of_jsonb(int sqlstate);

} // namespace rtd::pg
