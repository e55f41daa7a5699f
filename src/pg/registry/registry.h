// The registry: the extension's own tables (rtd_topic, rtd_watch, ...) and how functions reach
// them. No role has privileges on the tables; functions check what their caller may do and then
// read and write as the extension's owner, under a search_path that no user controls.
//
// Statements are written with `@.` for the extension's schema. Each is prepared once per backend
// and kept, so a look-up on a hot path costs an execution of a cached plan.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/server/acting_as.h"
#include "pg/server/setting_scope.h"
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
Value bytes_value(const std::string &bytes);
Value oid_value(Oid oid, Oid type = OIDOID);
Value integer_value(int32 integer);
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

class Registry {
  public:
    // `function` is any function of the extension: its schema and owner are the extension's.
    explicit Registry(Oid function);

    Rows run(const std::string &statement, const std::vector<Value> &values) const;
    // Sees everything committed by now, also in a repeatable read transaction.
    Rows run_fresh(const std::string &statement, const std::vector<Value> &values) const;

    Oid owner() const { return owner_; }
    Oid schema() const { return schema_; }
    const std::string &schema_name() const { return schema_name_; }

  private:
    Rows execute(const std::string &statement, const std::vector<Value> &values, bool fresh) const;

    Oid owner_, schema_;
    std::string schema_name_;
};

// The registry of the database, where no function of the extension is at hand; nullopt if the
// extension does not exist.
std::optional<Registry> find_registry();

} // namespace rtd::pg
