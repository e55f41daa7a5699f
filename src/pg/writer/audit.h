// The audit log: a row in rtd_audit_log for each change of a table watched with audit => true, in
// the transaction that makes it. Runs in the writer's backend.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/registry/registry.h"
#include "pg/writer/payload.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// `table` with its schema.
void append_to_audit_log(const Registry &registry, const std::string &table,
                         const PayloadColumns &columns, const Change &change);

// Puts the sequence of ids behind those that are used: pg_restore may have set it back.
void skip_used_audit_ids(const Registry &registry);

} // namespace rtd::pg
