// Hub (`rtd hub`): the background worker that serves one database.
//
// It drains the event queue, LISTENs, lets the router decide what each event means, hands queries
// to the query workers and messages to the gateway, and starts both again when they die. It runs no
// user SQL, and is in a transaction only to read and write the extension's own tables; between
// turns it sleeps without a timeout unless something is due.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// From _PG_init while preloading: registers the worker and the hook that lets DROP DATABASE and
// DROP EXTENSION through.
void register_hub();

} // namespace rtd::pg

RTD_EXPORT void rtd_hub_main(Datum unused);
