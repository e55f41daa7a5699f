// SavedPlan: the only way to the server's SPI, for rtd's own statements (statement.h) as for the
// queries of topics. Inside a transaction; a query worker runs others' queries under their role and
// settings, which whoever calls this has set.
#pragma once
#include "core/fence.h"

#include <string>
#include <utility>
#include <vector>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Runs `body` with SPI connected: what it is given of a plan's rows, and what it allocates, lives
// as long. After an error the abort of the transaction around it cleans up.
template <class Body> void with_spi(Body &&body) {
    call([] { SPI_connect(); });
    body();
    call([] { SPI_finish(); });
}

// What a statement returned, inside with_spi().
struct ResultSet {
    HeapTuple *rows = nullptr;
    TupleDesc columns = nullptr; // null if it returns none
    uint64 count = 0;            // rows returned, inserted, updated or deleted

    // As the type's output function writes it; null if it is NULL. Columns count from 1. Under the
    // server's rules: these may ereport.
    const char *text(uint64 row, int column) const;
    Datum value(uint64 row, int column, bool &is_null) const;
    Oid type(int column) const;
};

// A statement that is prepared and kept until the object dies.
class SavedPlan {
  public:
    explicit SavedPlan(const std::string &sql, const std::vector<Oid> &types = {}, int options = 0);
    ~SavedPlan();
    SavedPlan(const SavedPlan &) = delete;
    SavedPlan &operator=(const SavedPlan &) = delete;

    // False once DDL has changed what it is made of; it would be made anew when it runs.
    bool is_valid() const;

    // Inside with_spi(). A query, in the active snapshot; `limit` 0: all rows.
    ResultSet select(const std::vector<Datum> &values, long limit = 0) const;
    // Any statement; `nulls` has n for NULL. It sees what the transaction did.
    ResultSet execute(const std::vector<Datum> &values, const std::string &nulls) const;
    // A query that sees everything committed by now, also in a repeatable read transaction.
    ResultSet select_fresh(const std::vector<Datum> &values, const std::string &nulls) const;

  private:
    SPIPlanPtr plan_ = nullptr;
};

// Plans a query and starts it without fetching a row, which is when the server checks privileges.
void start_query(const std::string &sql, const std::vector<Oid> &types);

} // namespace rtd::pg
