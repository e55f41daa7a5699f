// Transactions of the background workers (hub and query workers), which have no client to open and
// close them. Never used in an ordinary backend.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

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
        call([] { AbortCurrentTransaction(); });
        MemoryContextSwitchTo(context);
        throw;
    }
    MemoryContextSwitchTo(context);
}

using Row = std::vector<std::optional<std::string>>;

// Runs one SQL statement with text parameters (nullopt: NULL) and returns its rows as text.
std::vector<Row> run_sql(const std::string &sql,
                         const std::vector<std::optional<std::string>> &args, bool read_only);

// The same for a statement that writes and is run often: its plan is kept as long as the process.
std::vector<Row> run_kept_sql(const std::string &sql,
                              const std::vector<std::optional<std::string>> &args);

// '{"a",NULL}': a text[] literal.
std::string array_literal(const std::vector<std::string> &elements);
std::string array_literal(const std::vector<std::optional<std::string>> &elements);

} // namespace rtd::pg
