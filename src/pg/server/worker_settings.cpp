// See worker_settings.h. A topic query otherwise runs as in a session of its database: settings of
// meaning (TimeZone, lc_*, the order of day and month in dates) and of planning are the database's.
#include "pg/server/worker_settings.h"

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
    // What somebody else has locked is tried again, and holds no worker meanwhile.
    {"lock_timeout", "200ms"},
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
    {"lock_timeout", kOwnLockTimeout}, // a lock on its tables must not hold it up
    {"synchronous_commit", "local"},   // a standby that is missing must not either
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

} // namespace

void fix_worker_settings() {
    fix(kOfWorkers);
}

void fix_hub_settings() {
    fix(kOfWorkers);
    fix(kOfHub);
}

} // namespace rtd::pg
