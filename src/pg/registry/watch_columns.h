// The columns of a watch: what its `columns` and `parameters` say, against the table as it is now.
// Used when a watch is made, when a backend first fires its trigger, and by rtd_watched_tables.
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/tupdesc.h"
#include "utils/rel.h"
}

namespace rtd::pg {

// One entry of a watch's `columns`: 'id', 'id AS review_id', 'TABLE', or 'TABLE AS source'.
// Names are taken as they are in the catalog, without folding case.
struct ColumnEntry {
    std::string column; // empty for TABLE
    std::string name;   // in the payload

    bool is_table() const { return column.empty(); }
};
ColumnEntry parse_column_entry(const std::string &entry, TupleDesc description);

// The attribute of this name that rows carry, or 0.
AttrNumber find_attribute(TupleDesc description, const std::string &name);

// How many of the leading columns are the key: as many as belong to the primary key, or else one.
// TABLE is passed over. Returned per entry.
std::vector<bool> key_columns(Relation relation, const std::vector<ColumnEntry> &columns);

// For messages.
std::string quoted(const std::string &text);
// ASCII letters only: operations and key words.
std::string upper(std::string text);

} // namespace rtd::pg
