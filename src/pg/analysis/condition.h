// A condition that a caller writes, for a trigger's WHEN or a query's WHERE.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

struct Node;

namespace rtd::pg {

// The condition as a raw expression: exactly one, so that it cannot smuggle in anything else, and
// its text can stand in parentheses if a line break follows it. `becomes` and `example` are for
// the messages.
Node *parse_condition(const std::string &condition, const char *becomes, const char *example);

} // namespace rtd::pg
