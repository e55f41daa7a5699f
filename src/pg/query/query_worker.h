// Query worker (`rtd query`): a background worker that runs topic queries for the hub, one at a
// time, each in a read-only transaction under the topic's owner, and stores retained messages.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// The dynamic shared memory segment a hub gives each query worker: two message queues.
inline constexpr uint64 kWorkerMagic = 0x7274642071756572; // "rtd quer"
inline constexpr uint64 kRequestKey = 0;
inline constexpr uint64 kReplyKey = 1;

} // namespace rtd::pg

// Entry point named in the worker's registration. `segment` is the handle of its segment.
RTD_EXPORT void rtd_query_worker_main(Datum segment);
