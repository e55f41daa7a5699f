// Transactions of the background workers (hub and query workers), which have no client to open and
// close them. Never used in an ordinary backend.
#pragma once
#include "core/fence.h"

#include "pg/server/boundary.h"
#include "pg/server/worker_settings.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/guc.h"
}

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

// The same for statements on rtd's own tables. DROP EXTENSION, or a restore, takes its locks there
// in another order than we do: so we give way, see lock_wait(), and come again.
template <class Body> void in_own_transaction(Body &&body) {
    in_transaction([&] {
        std::string wait = lock_wait();
        call([&] {
            (void)set_config_option("lock_timeout", wait.c_str(), PGC_SUSET, PGC_S_OVERRIDE,
                                    GUC_ACTION_LOCAL, true, 0, false);
        });
        body();
    });
}

} // namespace rtd::pg
