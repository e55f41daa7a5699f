// The key of a keyed topic: which columns of its query it names, which tables' rows concern which
// of the query's rows, and the statements that read all rows or those of some keys. Used when a
// topic or a watch is made, and by the query worker. Parse analysis only; nothing is executed here.
//
// A change of a table's row is told to concern certain rows of the query by following the key from
// the query's output to the tables it comes from, through subqueries and views, and along equality
// conditions to other tables: in `orders o JOIN lines l ON l.order_id = o.id` with key id, a row of
// lines concerns the row whose id is its order_id. What cannot be followed (LIMIT, window
// functions, an aggregate over other groups, ...) means that a change may concern any row.
#pragma once
#include "core/fence.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

struct KeyColumn {
    std::string name;
    Oid type = InvalidOid; // base type, if the column's is a domain
    int32 typmod = -1;
    Oid collation = InvalidOid;
    Oid equality = InvalidOid; // operator
};

class KeyedQuery {
  public:
    static constexpr size_t kMaxColumns = 8;

    // Under the current search_path and role, inside a transaction with an active snapshot. Throws
    // pg::Error if the query is none for a topic, or the key none of its.
    KeyedQuery(const std::string &query, size_t parameter_count,
               const std::vector<std::string> &key);
    ~KeyedQuery();
    KeyedQuery(const KeyedQuery &) = delete;
    KeyedQuery &operator=(const KeyedQuery &) = delete;

    const std::vector<Oid> &parameter_types() const { return parameter_types_; }
    const std::vector<KeyColumn> &key() const { return key_; }

    // Why a change of any row may concern all rows, as a clause; empty if it need not.
    const std::string &why_all() const { return why_all_; }
    // Whether the query reads the table, as far as it can be seen.
    bool reads(Oid relation) const;
    // The columns of the table, one for each of the key, that tell which rows of the query a row of
    // it concerns; nullopt if none do.
    std::optional<std::vector<std::string>> columns_of(Oid relation) const;

    // As what a row is selected: json where jsonb refuses a value in it.
    enum class RowType { jsonb, json };

    // (key jsonb, row, how many columns of the key are NULL integer) of all rows.
    std::string select_all(RowType type = RowType::jsonb) const;
    // (key jsonb, row or NULL) for each of the keys in $n+1.., an array of its type for each
    // column.
    std::string select_keys(RowType type = RowType::jsonb) const;

  private:
    std::string key_object(const std::string &alias, bool by_name) const;

    std::string statement_; // without what ends it
    std::vector<Oid> parameter_types_;
    std::vector<KeyColumn> key_;
    std::string why_all_;
    struct Origins;
    std::unique_ptr<Origins> origins_;
};

} // namespace rtd::pg
