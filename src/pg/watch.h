// Watches: which columns of which table an event carries, and the triggers that make it.
// watch.cpp makes and removes them; trigger.cpp reads them when rows are written.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/registry.h"

#include "pg/prelude.h"

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

// Removes triggers and rows of every watch into the topic.
void drop_watches_of(const Registry &registry, const std::string &topic);
// Makes every backend read the topic's watches again, after this transaction commits.
void forget_watches_of(const Registry &registry, const std::string &topic);

} // namespace rtd::pg
