// What an event of a watched table carries: a JSON object made of the row. Runs in the writer's
// backend, so nothing that a row can hold may fail here: a payload that would be larger than
// rtd.max_message_size, or that a type's own code does not let be made, is not made, and why is
// said instead.
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "pg/server/sql_function.h"
#include "pg/value/text_bound.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/rel.h"
}

namespace rtd::pg {

// What happened to a row, or to a table.
struct Change {
    const char *operation;
    HeapTuple row; // null for a statement
    TupleDesc description;
};

// A column of the payload. Trivial, because it is used inside call().
struct PayloadColumn {
    const char *label;    // `, "review_id": `
    const char *constant; // for TABLE: the JSON text; otherwise null
    AttrNumber attribute; // 0: not there any more
    bool is_key;
    Oid type; // no domain
    TextBound bound;
    FmgrInfo to_json;
    Oid code_owner; // see type_code.h
};

struct PayloadColumns {
    std::vector<PayloadColumn> columns;
    // A row of at most a page, all of it in that page, is sure to become a payload.
    bool is_compact = true;
    unsigned dependence = 0; // of the texts on settings, see output_settings.h

    bool has_key() const;
};

// As the entries of a watch's `columns` say, for this table. What lives as long as the watch is
// made in `memory`. Names of columns that are not there any more are added to `missing`, quoted.
PayloadColumns resolve_columns(MemoryContext memory, Relation relation, const TextList &entries,
                               const std::string &table, std::string &missing);

enum class Content { all, key, operation };

// In the server's encoding and the memory context that was current.
struct Payload {
    const char *json = nullptr; // null: it cannot be had
    std::string problem;        // then why, as the end of a sentence about the row
    std::string detail;         // more about it, a sentence
};

// Content::operation can always be had.
Payload build_payload(const PayloadColumns &columns, const Change &change, Content content);

// The key for the audit log, as jsonb: if jsonb cannot hold it, its values are strings with their
// JSON text; 0 if there is none, or if it is larger than rtd.max_message_size.
Datum audited_key(const PayloadColumns &columns, const Change &change);

} // namespace rtd::pg
