// Roles and memberships that commands change, in whatever database of the cluster: the hub, which
// finds them among the server's invalidations, is woken to look. Runs in the backend of whoever
// runs the command.
#pragma once
#include "core/fence.h"

namespace rtd::pg {

// Called once, from _PG_init while preloading.
void init_role_changes();

// When the transaction commits, the hub looks.
void note_role_change();

} // namespace rtd::pg
