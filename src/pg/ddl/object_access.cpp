#include "pg/ddl/object_access.h"

#include "pg/ddl/cached_changes.h"
#include "pg/ddl/definition_changes.h"
#include "pg/server/boundary.h"
#include "pg/shared/shared_state.h"
#include "pg/writer/pending_events.h"
#include "pg/writer/table_changes.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
}

namespace rtd::pg {

namespace {

object_access_hook_type previous_object_access = nullptr;

// DROP DATABASE waits for other sessions, and nobody would ask the hub to leave: it is told here,
// after the permission check. DROP EXTENSION and changes of roles, however they come about, make
// the hub look.
void on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg) {
    if (previous_object_access != nullptr)
        previous_object_access(access, class_id, object_id, sub_id, arg);
    if (shared == nullptr)
        return;
    enter([&] {
        note_table_change(access, class_id, object_id, sub_id);
        note_definition_change(access, class_id, object_id, sub_id);
    });
    // The extension's own schema among them.
    if (class_id == AuthIdRelationId || class_id == NamespaceRelationId)
        note_cached_change();
    if (access != OAT_DROP)
        return;
    if (class_id == ExtensionRelationId)
        enter([] { note_catalog_change(); });
    if (class_id == DatabaseRelationId && object_id == shared->connected_database) {
        SpinLockAcquire(&shared->hub_lock);
        pid_t hub = shared->hub_pid;
        SpinLockRelease(&shared->hub_lock);
        if (hub != 0)
            kill(hub, SIGTERM);
    }
}

} // namespace

void follow_object_access() {
    previous_object_access = object_access_hook;
    object_access_hook = on_object_access;
    init_definition_changes();
}

} // namespace rtd::pg
