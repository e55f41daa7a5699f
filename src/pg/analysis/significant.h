// significant: the function `(old jsonb, new jsonb) returns boolean` that a state topic may name,
// to send a state only if it differs enough from the last one sent. Checked in a backend when the
// topic is made, and called by a query worker, as the role and in the transaction of the query.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/server/prelude.h"

namespace rtd::pg {

// Throws if the function is gone, takes or returns something else, or `role` may not execute it.
// Nothing depends on the function, so it is asked again before each call.
void check_significant(Oid function, Oid role);
// The function that a topic names, as name_of_function() wrote it. Throws if it does not exist.
Oid significant_named(const std::string &name);

// Whether `state`, a jsonb, is to be sent after `last_message`, the envelope of the last state that
// was: unless the function returns false. An equal one is not, whatever the function says.
bool is_significant(const std::string &function, const std::string &last_message, Datum state);

} // namespace rtd::pg
