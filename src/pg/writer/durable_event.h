// Events of durable topics, in backends: the message is written to rtd_message by the transaction
// that makes it, and the event on its way to the hub only says which row it is.
#pragma once
#include "core/fence.h"
#include "router/event.h"

#include "pg/registry/registry.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Instead of add_pending(). The message is kept also while no hub serves this database: the next
// one finds it. Only for events that are messages (`change`, `broadcast`), and for a `lost` one
// that stands for a single message: it is a gap in that message's place.
void add_durable(const Registry &registry, const Event &event);

} // namespace rtd::pg
