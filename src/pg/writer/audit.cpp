#include "pg/writer/audit.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

void skip_used_audit_ids(const Registry &registry) {
    registry.run("SELECT pg_catalog.setval(sequence, greatest(pg_catalog.nextval(sequence),"
                 " (SELECT max(id) FROM @.rtd_audit_log)))"
                 " FROM pg_catalog.pg_get_serial_sequence($1, 'id') AS sequence",
                 {text_value(registry.schema_name() + ".rtd_audit_log")});
}

void append_to_audit_log(const Registry &registry, const std::string &table,
                         const PayloadColumns &columns, const Change &change) {
    Value key{JSONBOID, 0, true};
    if (change.row != nullptr && columns.has_key()) {
        key.datum = audited_key(columns, change);
        key.null = key.datum == 0;
    }
    auto insert = [&] {
        return registry.append("INSERT INTO @.rtd_audit_log (relation, action, key, changed_at)"
                               " VALUES ($1, $2, $3, pg_catalog.clock_timestamp())"
                               " ON CONFLICT DO NOTHING",
                               {text_value(table), text_value(std::string(change.operation)), key});
    };
    while (insert().affected == 0)
        skip_used_audit_ids(registry);
}

} // namespace rtd::pg
