// What a topic's query is, found by parse analysis: used when a topic is made (to refuse what
// cannot work, with a clear error) and by the query worker (to prepare the statement).
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "pg/prelude.h"

namespace rtd::pg {

// Analyses `query` under the current search_path and role. Inside a transaction with an active
// snapshot. Throws pg::Error if it is not exactly one SELECT (or WITH .. SELECT, VALUES, TABLE),
// modifies data, locks rows, selects INTO, has no columns, or uses a parameter beyond
// `parameter_count`. Returns the types of $1..$n: text where the query does not say.
std::vector<Oid> analyze_topic_query(const std::string &query, size_t parameter_count);

} // namespace rtd::pg
