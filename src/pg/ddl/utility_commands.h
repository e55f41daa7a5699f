// Utility commands that concern rtd besides the server: REASSIGN OWNED, DROP OWNED, DROP ROLE,
// GRANT of a role. The server knows nothing of topics as objects with an owner, so a hook follows
// these commands after they have succeeded, in their transaction. What goes wrong then is a
// WARNING: a command never fails because of rtd.
#pragma once
#include "core/fence.h"

namespace rtd::pg {

// From _PG_init while preloading.
void follow_utility_commands();

} // namespace rtd::pg
