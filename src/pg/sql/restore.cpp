// rtd_restore_trigger(): lets COPY, which is what pg_restore does, fill registry tables that have
// rows already, as with `pg_restore --data-only` into a database whose topics exist. A row whose
// key is there is left out: what exists stays as it is, and the rest comes in. Rows of the audit
// log are kept besides those that are there, under new ids.
#include "core/fence.h"

#include "pg/registry/registry.h"
#include "pg/registry/watch_columns.h"
#include "pg/server/saved_plan.h"
#include "pg/writer/audit.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "commands/trigger.h"
#include "tcop/cmdtag.h"
#include "tcop/pquery.h"
#include "utils/rel.h"
}

namespace rtd::pg {

namespace {

// Functions of rtd insert too, and say themselves what a conflict means.
bool is_copying() {
    return ActivePortal != nullptr && ActivePortal->commandTag == CMDTAG_COPY;
}

struct Condition {
    std::string text; // `"name" = $1`
    std::vector<Value> values;

    void add(const TriggerData *data, AttrNumber attribute) {
        TupleDesc description = RelationGetDescr(data->tg_relation);
        Form_pg_attribute column = TupleDescAttr(description, attribute - 1);
        Value value{column->atttypid, 0, false};
        value.datum = call(
            [&] { return heap_getattr(data->tg_trigtuple, attribute, description, &value.null); });
        values.push_back(value);
        text += (text.empty() ? "" : " AND ") + quoted(NameStr(column->attname)) + " = $" +
                std::to_string(values.size());
    }
};

bool has_row(const Registry &registry, const TriggerData *data, const Condition &condition) {
    return !registry
                .run(std::string("SELECT FROM @.") + RelationGetRelationName(data->tg_relation) +
                         " WHERE " + condition.text,
                     condition.values)
                .rows.empty();
}

Condition primary_key_of(const TriggerData *data) {
    Bitmapset *key = call([&] {
        return RelationGetIndexAttrBitmap(data->tg_relation, INDEX_ATTR_BITMAP_PRIMARY_KEY);
    });
    Condition condition;
    for (int bit = -1; (bit = bms_next_member(key, bit)) >= 0;)
        condition.add(data, static_cast<AttrNumber>(bit + FirstLowInvalidHeapAttributeNumber));
    return condition;
}

HeapTuple with_new_id(const Registry &registry, const TriggerData *data) {
    Rows made =
        registry.run("SELECT pg_catalog.nextval(pg_catalog.pg_get_serial_sequence($1, 'id'))",
                     {text_value(registry.schema_name() + ".rtd_audit_log")});
    int64 id = std::stoll(made.rows.at(0).at(0).text.value());
    TupleDesc description = RelationGetDescr(data->tg_relation);
    int attribute = find_attribute(description, "id");
    return call([&] {
        Datum value = Int64GetDatum(id);
        bool is_null = false;
        return heap_modify_tuple_by_cols(data->tg_trigtuple, description, 1, &attribute, &value,
                                         &is_null);
    });
}

HeapTuple audit_row(const Registry &registry, const TriggerData *data) {
    Condition same = primary_key_of(data);
    if (!has_row(registry, data, same))
        return data->tg_trigtuple;
    for (const char *column : {"relation", "action", "changed_at"})
        same.add(data, find_attribute(RelationGetDescr(data->tg_relation), column));
    if (has_row(registry, data, same))
        return nullptr; // it was restored before
    skip_used_audit_ids(registry);
    return with_new_id(registry, data);
}

HeapTuple row_to_insert(const TriggerData *data) {
    if (!is_copying())
        return data->tg_trigtuple;
    Registry registry(data->tg_trigger->tgfoid);
    std::string table = RelationGetRelationName(data->tg_relation);
    if (table == "rtd_audit_log")
        return audit_row(registry, data);
    if (!has_row(registry, data, primary_key_of(data)))
        return data->tg_trigtuple;
    if (table == "rtd_topic") {
        TupleDesc description = RelationGetDescr(data->tg_relation);
        HeapTuple row = data->tg_trigtuple;
        const char *name = call([&] { return ResultSet{&row, description, 1}.text(0, 1); });
        notice("topic " + quoted(name) + " exists already, and stays as it is");
    }
    return nullptr;
}

} // namespace

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_restore_trigger) {
    return enter([&]() -> Datum {
        if (!CALLED_AS_TRIGGER(fcinfo))
            throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                        "rtd_restore_trigger() was not called by a trigger");
        auto *data = reinterpret_cast<const TriggerData *>(fcinfo->context);
        if (!TRIGGER_FIRED_BEFORE(data->tg_event) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
            !TRIGGER_FIRED_BY_INSERT(data->tg_event))
            throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                        "rtd_restore_trigger() must be fired BEFORE INSERT, for each row");
        return PointerGetDatum(row_to_insert(data));
    });
}
