// See worker_settings.h. A topic query otherwise runs as in a session of its database: settings of
// meaning (TimeZone, lc_*, the order of day and month in dates) and of planning are the database's.
#include "pg/server/worker_settings.h"

#include <algorithm>
#include <cstdlib>

#include "pg/server/boundary.h"
#include "pg/server/setting_scope.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

struct FixedSetting {
    const char *name; // one that this server does not have is passed over
    const char *value;
};

constexpr FixedSetting kOfWorkers[] = {
    // Notifications are handed to the hub as to a client, in the client's encoding.
    {"client_encoding", "UTF8"},

    // Who they are, and what names mean: nobody else's operator may run with their privileges.
    {"role", "none"},
    {"search_path", kOwnSearchPath},
    {"row_security", "on"}, // off makes the query of a table with policies an error

    // Their transactions write, see what is committed, and wait for nothing of that.
    {"default_transaction_read_only", "off"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_deferrable", "off"},
    {"session_replication_role", "origin"}, // or the registry's own triggers would not fire

    // An error is an error, and time is limited by rtd.statement_timeout.
    {"exit_on_error", "off"},
    {"statement_timeout", "0"},
    {"log_lock_waits", "off"},    // what they wait for, the hub says
    {"transaction_timeout", "0"}, // ends the process
    {"idle_in_transaction_session_timeout", "0"},
    {"idle_session_timeout", "0"},

    // How values become text, which a topic query may compare, and clients are sent.
    {"bytea_output", "hex"},
    {"DateStyle", "ISO"}, // the order of day and month stays the database's
    {"IntervalStyle", "postgres"},
    {"extra_float_digits", "1"},
    {"xmlbinary", "base64"},
    {"xmloption", "content"},
    {"quote_all_identifiers", "off"},

    // How text is read, as array literals and constants of rtd's own statements are.
    {"array_nulls", "on"},
    {"backslash_quote", "safe_encoding"},
    {"standard_conforming_strings", "on"},
    {"transform_null_equals", "off"},
};

constexpr FixedSetting kOfHub[] = {
    {"synchronous_commit", "local"}, // a standby that is missing must not hold it up
    // What names an instance means the same to the hub as to every session.
    {"DateStyle", "ISO, MDY"},
    {"TimeZone", "UTC"},
    {"lc_monetary", "C"},
    {"max_parallel_workers_per_gather", "0"}, // debug_parallel_query would start some for nothing
};

template <size_t count> void fix(const FixedSetting (&settings)[count]) {
    call([&] {
        for (const FixedSetting &setting : settings)
            if (GetConfigOption(setting.name, true, false) != nullptr)
                SetConfigOption(setting.name, setting.value, PGC_SUSET, PGC_S_OVERRIDE);
    });
}

constexpr int kOfDeadlockTimeout = 4; // a wait is this part of it at most
// Of a wait. Whoever waits last closes the circle, and its look at it is meant to come before any
// other's; not at once, because it also cancels an autovacuum that is in the way.
constexpr int kLookAfter = 8;

// As the administrator has set it.
int deadlock_timeout_ms() {
    return std::atoi(call([] { return GetConfigOptionResetString("deadlock_timeout"); }));
}

int lock_wait_ms(int most_ms) {
    return std::clamp(deadlock_timeout_ms() / kOfDeadlockTimeout, 1, most_ms);
}

} // namespace

std::string lock_wait(int most_ms) {
    return std::to_string(lock_wait_ms(most_ms));
}

bool is_of_lock(int sqlstate) {
    return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED;
}

// Its own deadlock_timeout is the session's only: so what the administrator sets can still be told.
void follow_deadlock_timeout(int most_ms) {
    int wait_ms = lock_wait_ms(most_ms);
    std::string wait = std::to_string(wait_ms);
    std::string look = std::to_string(std::max(wait_ms / kLookAfter, 1));
    call([&] {
        SetConfigOption("lock_timeout", wait.c_str(), PGC_SUSET, PGC_S_OVERRIDE);
        SetConfigOption("deadlock_timeout", look.c_str(), PGC_SUSET, PGC_S_SESSION);
    });
}

void fix_worker_settings() {
    fix(kOfWorkers);
    follow_deadlock_timeout();
}

void fix_hub_settings() {
    fix(kOfWorkers);
    fix(kOfHub);
    follow_deadlock_timeout(kHubLockWaitMs);
}

} // namespace rtd::pg
