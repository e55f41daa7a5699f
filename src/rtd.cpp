// Module magic and _PG_init, nothing else.
//
// Without shared_preload_libraries the module still loads (CREATE EXTENSION, triggers): its
// functions then warn once per session and let writes go on. So it is in a server that pg_upgrade
// runs: there is no hub, no hook and no queue.
#include "pg/ddl/cached_changes.h"
#include "pg/ddl/object_access.h"
#include "pg/ddl/utility_commands.h"
#include "pg/hub/hub.h"
#include "pg/server/settings.h"
#include "pg/shared/shared_state.h"
#include "pg/writer/pending_events.h"

#include "pg/server/prelude.h"

extern "C" {
PG_MODULE_MAGIC;
}

RTD_EXPORT void _PG_init(void) {
    rtd::pg::define_settings();
    rtd::pg::init_pending_events();
    if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
        return;
    rtd::pg::request_shared_memory();
    rtd::pg::register_hub();
    rtd::pg::follow_object_access();
    rtd::pg::follow_utility_commands();
    rtd::pg::init_cached_changes();
}
