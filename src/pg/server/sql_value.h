// What goes into rtd's own statements and what comes out of them. Typed once, for all of them.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// A parameter of a statement; points into the memory context it was made in.
struct Value {
    Oid type;
    Datum datum;
    bool null;
};
Value text_value(const std::optional<std::string> &text);
Value texts_value(const TextList &texts);
Value texts_value(const std::vector<std::string> &texts);
Value bytes_value(const std::string &bytes);
Value oid_value(Oid oid, Oid type = OIDOID);
Value integer_value(int32 integer);
Value long_value(int64 integer);
Value boolean_value(bool boolean);

struct Cell {
    std::optional<std::string> text; // as the type's output function writes it
    TextList elements;               // of a text[]

    Oid oid() const { return text ? static_cast<Oid>(std::stoul(*text)) : InvalidOid; }
    bool boolean() const { return text == "t"; }
};
using Row = std::vector<Cell>;

struct Rows {
    std::vector<Row> rows; // what the statement returned
    uint64_t affected = 0; // rows returned, inserted, updated or deleted
};

} // namespace rtd::pg
