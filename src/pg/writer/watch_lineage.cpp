// See watch_lineage.h. Runs in the writer's backend, but not per row.
#include "pg/writer/watch_lineage.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/partition.h"
}

namespace rtd::pg {

TextList partition_lineage(Relation relation) {
    TextList oids{std::to_string(RelationGetRelid(relation))};
    if (!relation->rd_rel->relispartition)
        return oids;
    List *ancestors = call([&] { return get_partition_ancestors(RelationGetRelid(relation)); });
    ListCell *cell;
    foreach (cell, ancestors)
        oids.emplace_back(std::to_string(lfirst_oid(cell)));
    return oids;
}

const char *const kTriggerOrigin =
    "(WITH RECURSIVE up AS (SELECT tgrelid, tgparentid FROM pg_trigger WHERE oid = $3::oid"
    " UNION ALL SELECT g.tgrelid, g.tgparentid FROM pg_trigger g JOIN up ON g.oid = up.tgparentid)"
    " SELECT tgrelid FROM up WHERE tgparentid = 0)";

const char *const kIsSuperseded =
    "EXISTS (SELECT FROM @.rtd_watch above WHERE above.topic = w.topic"
    " AND above.operations && '{INSERT,UPDATE,DELETE}'"
    " AND array_position($2::oid[], above.relation::oid)"
    " > array_position($2::oid[], w.relation::oid))";

} // namespace rtd::pg
