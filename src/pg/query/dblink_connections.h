// What dblink leaves in a query worker: dblink_connect() keeps its connections for the session, by
// name, and asks nobody who uses them. In a worker the next query is perhaps another owner's, and
// would run its SQL as whom the one before had signed in.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Between jobs. Costs nothing as long as no query has loaded dblink.
void close_dblink_connections();

} // namespace rtd::pg
