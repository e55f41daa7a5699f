// KeyedPlans: a keyed topic's statements, prepared in a query worker, and what they return: rows by
// key. See keyed_query.h for the statements.
#pragma once
#include "core/fence.h"
#include "router/query.h"

#include <memory>
#include <string>
#include <vector>

#include "pg/analysis/keyed_query.h"
#include "pg/server/saved_plan.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

class KeyedPlans {
  public:
    KeyedPlans(const std::string &topic, const std::string &query, size_t parameter_count,
               const std::vector<std::string> &key);

    // False once DDL has changed what they are made of.
    bool are_valid() const;
    const std::vector<Oid> &parameter_types() const { return query_.parameter_types(); }

    // From now on rows are read as json, which can hold what jsonb refuses; that takes longer.
    // False if they are already: then, because it did not help, they are jsonb again.
    bool spell_out();

    // Reads the rows in the active snapshot. All of them, too, if one of the keys is no value of
    // its column's type. `values` are the topic's parameters.
    void read(const std::vector<Datum> &values, const KeySelection &selection,
              QueryOutcome &outcome);

  private:
    void prepare_plans();
    void free_plans();
    bool add_keys(const std::vector<Key> &keys, std::vector<Datum> &values) const;
    std::vector<KeyedRow> collect(const ResultSet &result, std::string &altered) const;
    void check_all_once(const std::vector<KeyedRow> &rows) const;
    void keep_once(std::vector<KeyedRow> &rows) const;

    std::string topic_;
    KeyedQuery query_;
    KeyedQuery::RowType row_type_ = KeyedQuery::RowType::jsonb;
    std::unique_ptr<SavedPlan> all_, keys_;
};

} // namespace rtd::pg
