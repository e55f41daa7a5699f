// What commands do to objects of the catalog, told by the server's object access hook: definitions
// that topics rest on, tables that are watched, roles, and the end of the extension or the
// database. Runs in the backend of whoever runs the command.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Installs the hook. Called once, from _PG_init.
void follow_object_access();

} // namespace rtd::pg
