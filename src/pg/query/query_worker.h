// Query worker (`rtd query`): a background worker that runs topic queries for the hub, one at a
// time, each in a read-only transaction under the topic's owner, and stores retained messages.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

// Entry point named in the worker's registration. `segment` is the handle of its segment.
RTD_EXPORT void rtd_query_worker_main(Datum segment);
