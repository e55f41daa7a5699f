// Transactions of the background workers (hub and query workers), which have no client to open and
// close them. Never used in an ordinary backend.
#pragma once
#include "core/fence.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Runs `body` in a transaction of its own with a snapshot. A pg::Error thrown by body aborts the
// transaction and is passed on. Restores the caller's memory context.
template <class Body> void in_transaction(Body &&body) {
    MemoryContext context = CurrentMemoryContext;
    try {
        call([] {
            SetCurrentStatementStartTimestamp();
            StartTransactionCommand();
            PushActiveSnapshot(GetTransactionSnapshot());
        });
        body();
        call([] {
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

} // namespace rtd::pg
