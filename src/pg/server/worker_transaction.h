// Transactions of the background workers (hub and query workers), which have no client to open and
// close them. Never used in an ordinary backend.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/resowner.h"
}

namespace rtd::pg {

// Runs `body` in a transaction of its own with a snapshot and SPI connected. A pg::Error thrown by
// body aborts the transaction and is passed on. Restores the caller's memory context.
template <class Body> void in_transaction(Body &&body) {
    MemoryContext context = CurrentMemoryContext;
    try {
        call([] {
            SetCurrentStatementStartTimestamp();
            StartTransactionCommand();
            PushActiveSnapshot(GetTransactionSnapshot());
            SPI_connect();
        });
        body();
        call([] {
            SPI_finish();
            PopActiveSnapshot();
            CommitTransactionCommand();
        });
    } catch (...) {
        call([] { AbortOutOfAnyTransaction(); }); // also of subtransactions
        MemoryContextSwitchTo(context);
        throw;
    }
    MemoryContextSwitchTo(context);
}

// Runs `body` in a subtransaction that is undone however it ends: what it set, also for the
// session, its large objects, notifications and cursors. The transaction around it commits, so that
// queries do not look like failures in pg_stat_database. Inside in_transaction().
template <class Body> void undone(Body &&body) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    auto undo = [&] {
        call([] { RollbackAndReleaseCurrentSubTransaction(); });
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
    };
    call([] { BeginInternalSubTransaction(nullptr); });
    MemoryContextSwitchTo(context);
    try {
        body();
    } catch (...) {
        undo();
        throw;
    }
    undo();
}

using Row = std::vector<std::optional<std::string>>;

// Runs one SQL statement of rtd's own with text parameters (nullopt: NULL) and returns its rows as
// text. Its names mean what they mean in pg_catalog, whatever search_path is.
std::vector<Row> run_sql(const std::string &sql,
                         const std::vector<std::optional<std::string>> &args, bool read_only);

// The same for a statement that writes and is run often: its plan is kept as long as the process.
std::vector<Row> run_kept_sql(const std::string &sql,
                              const std::vector<std::optional<std::string>> &args);

// '{"a",NULL}': a text[] literal.
std::string array_literal(const std::vector<std::string> &elements);
std::string array_literal(const std::vector<std::optional<std::string>> &elements);

} // namespace rtd::pg
