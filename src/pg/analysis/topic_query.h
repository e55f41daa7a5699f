// What a topic's query is, found by parse analysis: used when a topic is made (to refuse what
// cannot work, with a clear error) and by the query worker (to prepare the statement).
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "pg/server/prelude.h"

struct Query;

namespace rtd::pg {

// A column of the query's result.
struct OutputColumn {
    std::string name;
    Oid type = InvalidOid; // base type, if the column's is a domain
};
using OutputColumns = std::vector<OutputColumn>;

struct TopicQuery {
    std::vector<Oid> parameter_types; // of $1..$n: text where the query does not say
    OutputColumns columns;
};

// Analyses `query` under the current search_path and role. Inside a transaction with an active
// snapshot. Throws pg::Error if it is not exactly one SELECT (or WITH .. SELECT, VALUES, TABLE),
// modifies data, locks rows, selects INTO, has no columns or two of one name, or uses a
// parameter beyond `parameter_count`.
// `analysis`, if given, gets the analyzed query.
TopicQuery analyze_topic_query(const std::string &query, size_t parameter_count,
                               Query **analysis = nullptr);

} // namespace rtd::pg
