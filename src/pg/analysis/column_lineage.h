// Where a column of a query's result comes from: followed from the output to tables, through
// subqueries, views and CTEs, and along equality conditions. See topic_key.h for what it is for.
#pragma once
#include "core/fence.h"

#include <map>
#include <set>
#include <string>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/parsenodes.h"
}

namespace rtd::pg {

struct KeyOrigins {
    // Why no table's row tells which rows of the query it concerns, as a clause; empty if some do.
    std::string why_none;
    // A row of the table concerns those rows of the query whose column equals this one of its own.
    // Tables that occur in the query without such a column are missing.
    std::map<Oid, AttrNumber> columns;
    std::set<Oid> relations; // all that occur in the query
};

// `query` is analyzed and rewritten; `column` is the number of the column in its result.
KeyOrigins find_key_origins(Query *query, AttrNumber column);

} // namespace rtd::pg
