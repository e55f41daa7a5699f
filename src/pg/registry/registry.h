// The registry: the extension's own tables (rtd_topic, rtd_watch, ...) and how functions reach
// them. No role has privileges on the tables; functions check what their caller may do and then
// read and write as the extension's owner, under a search_path that no user controls.
//
// Statements are written and run as pg/server/statement.h says.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/server/acting_as.h"
#include "pg/server/setting_scope.h"
#include "pg/server/sql_function.h"
#include "pg/server/statement.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

class Registry {
  public:
    // `function` is any function of the extension: its schema and owner are the extension's.
    explicit Registry(Oid function) : home_(home_of(function)) {}
    explicit Registry(Home home) : home_(std::move(home)) {}

    Rows run(const std::string &statement, const std::vector<Value> &values) const {
        return Statement(home_, statement).run(values);
    }
    // Sees everything committed by now, also in a repeatable read transaction.
    Rows run_fresh(const std::string &statement, const std::vector<Value> &values) const {
        return Statement(home_, statement).run_fresh(values);
    }
    // An INSERT into rtd_message or rtd_audit_log.
    Rows append(const std::string &statement, const std::vector<Value> &values) const {
        return Statement(home_, statement).append(values);
    }

    Oid owner() const { return home_.owner; }
    Oid schema() const { return home_.schema; }
    const std::string &schema_name() const { return home_.schema_name; }

  private:
    Home home_;
};

// The registry of the database, where no function of the extension is at hand; nullopt if the
// extension does not exist.
std::optional<Registry> find_registry();

} // namespace rtd::pg
