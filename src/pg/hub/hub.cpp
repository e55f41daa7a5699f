#include "pg/hub/hub.h"

#include <algorithm>

#include "core/backoff.h"
#include "pg/hub/hub_loop.h"
#include "pg/server/boundary.h"
#include "pg/server/settings.h"
#include "pg/server/worker_settings.h"
#include "pg/shared/shared_state.h"

#include "pg/server/prelude.h"

extern "C" {
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
}

namespace rtd::pg {

namespace {

constexpr int kRestartSeconds = 1;

void set_hub(pid_t pid, Latch *latch) {
    SpinLockAcquire(&shared->hub_lock);
    shared->hub_pid = pid;
    shared->hub_latch = latch;
    SpinLockRelease(&shared->hub_lock);
}

void on_exit(int, Datum) {
    set_hub(0, nullptr);
    shared->connected_database = InvalidOid;
    pg_atomic_write_u32(&shared->hub_sleeps, 0);
}

void on_failed_connection(int, Datum connected) {
    if (*reinterpret_cast<bool *>(DatumGetPointer(connected)))
        return;
    ereport(LOG,
            (errmsg("rtd hub could not connect to database \"%s\"", database),
             errdetail("The next attempt is in about %ld s; the rest of the server is not "
                       "affected.",
                       std::max(1L, static_cast<long>(backoff_ms(shared->hub_failures) / 1000))),
             errhint("Set rtd.database to the database to serve, and restart the server; or "
                     "create that database.")));
}

// Attempts that failed in a row are followed by ever longer pauses.
void pause_before_start() {
    long left_ms = static_cast<long>(backoff_ms(shared->hub_failures));
    TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), left_ms);
    while (left_ms > 0 && !ShutdownRequestPending) {
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left_ms,
                  PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
    }
}

bool connected = false;

} // namespace

void register_hub() {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = kRestartSeconds;
    strlcpy(worker.bgw_name, "rtd hub", BGW_MAXLEN);
    strlcpy(worker.bgw_type, "rtd hub", BGW_MAXLEN);
    strlcpy(worker.bgw_library_name, "rtd", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, "rtd_hub_main", BGW_MAXLEN);
    RegisterBackgroundWorker(&worker);
}

} // namespace rtd::pg

void rtd_hub_main(Datum) {
    using namespace rtd::pg;
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    BackgroundWorkerUnblockSignals();

    set_hub(MyProcPid, MyLatch);
    on_shmem_exit(on_exit, Int32GetDatum(0));
    pause_before_start();
    if (ShutdownRequestPending)
        proc_exit(1);
    shared->hub_failures++; // until it serves, or waits for the extension
    before_shmem_exit(on_failed_connection, PointerGetDatum(&connected));
    BackgroundWorkerInitializeConnection(database, nullptr, 0);
    connected = true;
    shared->connected_database = MyDatabaseId;

    enter([] {
        if (GetDatabaseEncoding() != PG_UTF8)
            throw Error(ERRCODE_FEATURE_NOT_SUPPORTED,
                        std::string("rtd cannot serve database \"") + database +
                            "\": its encoding is not UTF8",
                        {},
                        "WebSocket messages are UTF-8; create the database with ENCODING 'UTF8'.");
        fix_hub_settings();
        HubLoop loop;
        loop.run();
    });
    proc_exit(1); // 0 would mean "never again"; the postmaster does not restart while it stops
}
