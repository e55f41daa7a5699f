// What commands change and the server keeps in caches: roles and memberships, in whatever database
// of the cluster, and the names of schemas. The hub finds them among the server's invalidations,
// and is woken to look. Runs in the backend of whoever runs the command.
#pragma once
#include "core/fence.h"

namespace rtd::pg {

// Called once, from _PG_init while preloading.
void init_cached_changes();

// When the transaction commits, the hub looks.
void note_cached_change();

} // namespace rtd::pg
