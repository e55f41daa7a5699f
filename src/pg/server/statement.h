// Statement: SQL of rtd's own, in every process, and the only way to run it.
//
// It acts as the owner of the extension, whoever the caller is and whatever the worker may be,
// under settings that no user controls: names and operators mean what they mean in pg_catalog, and
// what is read and written does not depend on styles that a session has set. What it sets ends with
// it.
//
// It is written with `@.` for the extension's schema. Its plan is kept as long as the process, so a
// look-up on a hot path costs an execution; the set of statements is fixed, so their number is
// bounded: what varies is a parameter, never part of the text.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pg/server/sql_value.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Where the extension's objects are, and whose they are.
struct Home {
    Oid owner = InvalidOid;
    Oid schema = InvalidOid;
    std::string schema_name; // quoted
};

Home home_of(Oid function); // any function of the extension
// nullopt if the extension does not exist in this database.
std::optional<Home> find_home();
// Of the extension in this schema, quoted. Throws if it is not there any more.
Home home_in(const std::string &schema_name);

class Statement {
  public:
    // Both must outlive it.
    Statement(const Home &home, std::string_view sql) : home_(home), sql_(sql) {}

    Rows run(const std::vector<Value> &values) const;
    // Sees everything committed by now, also in a repeatable read transaction. Reads only.
    Rows run_fresh(const std::vector<Value> &values) const;
    // For an INSERT into a log, on the path of writers: leaves session_replication_role alone,
    // since none of the registry's triggers is for it.
    Rows append(const std::vector<Value> &values) const;

  private:
    enum class Mode { all, fresh, append };
    Rows execute(const std::vector<Value> &values, Mode mode) const;

    const Home &home_;
    std::string_view sql_;
};

} // namespace rtd::pg
