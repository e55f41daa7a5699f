// Where the trigger of a written table comes from: the watch of the table itself, or that of a
// partitioned table above it, whose trigger the server cloned. If several tables of one line are
// watched into one topic, the topmost makes the event, so that a row is one event.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/rel.h"
}

namespace rtd::pg {

// The table and, if it is a partition, those it belongs to, from the nearest to the topmost. As
// OIDs in text.
TextList partition_lineage(Relation relation);

// SQL over rtd_watch `w`, $2 the lineage, $3 the trigger: the table that the trigger was made for.
extern const char *const kTriggerOrigin;
// Whether a table above `w.relation` is watched into the same topic, so that its trigger speaks.
extern const char *const kIsSuperseded;

} // namespace rtd::pg
