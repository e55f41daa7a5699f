#include "pg/writer/table_changes.h"

#include "pg/server/boundary.h"
#include "pg/server/sql_function.h"
#include "pg/shared/shared_state.h"
#include "pg/writer/pending_events.h"
#include "router/event.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
}

namespace rtd::pg {

namespace {

// The topic that a trigger of ours feeds, or null. A trigger function of that name that is not ours
// costs a needless query at most.
const char *topic_of(HeapTuple trigger, TupleDesc description) {
    auto *form = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(trigger));
    const char *function = get_func_name(form->tgfoid);
    if (form->tgnargs != 1 || function == nullptr || strcmp(function, "rtd_trigger") != 0)
        return nullptr;
    bool null = false;
    Datum arguments = heap_getattr(trigger, Anum_pg_trigger_tgargs, description, &null);
    if (null)
        return nullptr;
    bytea *bytes = DatumGetByteaPP(arguments); // each argument ends with a zero byte
    return pnstrdup(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

bool is_of_registry(HeapTuple trigger) {
    const char *function =
        get_func_name(reinterpret_cast<Form_pg_trigger>(GETSTRUCT(trigger))->tgfoid);
    return function != nullptr && strcmp(function, "rtd_catalog_trigger") == 0;
}

// The topics of the triggers whose `attribute` of pg_trigger is `oid`: one trigger, or a table's.
// Sets `is_registry` if one of them is the registry's.
List *topics_of_triggers(Oid index, AttrNumber attribute, Oid oid, bool *is_registry) {
    List *topics = NIL;
    Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, attribute, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
    SysScanDesc scan = systable_beginscan(triggers, index, true, nullptr, 1, &key);
    HeapTuple trigger;
    while (HeapTupleIsValid(trigger = systable_getnext(scan))) {
        *is_registry = *is_registry || is_of_registry(trigger);
        if (const char *topic = topic_of(trigger, RelationGetDescr(triggers)))
            topics = lappend(topics, const_cast<char *>(topic));
    }
    systable_endscan(scan);
    table_close(triggers, AccessShareLock);
    return topics;
}

bool is_served() {
    return shared != nullptr && shared->hub_database == MyDatabaseId;
}

} // namespace

void refresh_topic(const std::string &topic) {
    if (!is_served()) // nobody to tell, and nothing that a session must be warned of
        return;
    if (collapse_pending(instance_key(topic, {"table change"})))
        return;
    Event event;
    event.kind = EventKind::refresh;
    event.topic = topic;
    event.origin = "DDL";
    event.source = "event";
    add_pending(event, Delivery::if_subscribed);
}

namespace {

// Of the triggers as topics_of_triggers() finds them. True if one of them is the registry's.
bool refresh_topics_of(Oid index, AttrNumber attribute, Oid oid) {
    bool is_registry = false;
    List *topics = call([&] { return topics_of_triggers(index, attribute, oid, &is_registry); });
    ListCell *cell;
    foreach (cell, topics)
        refresh_topic(to_utf8(static_cast<const char *>(lfirst(cell))));
    return is_registry;
}

} // namespace

void refresh_topics_of_trigger(Oid trigger) {
    refresh_topics_of(TriggerOidIndexId, Anum_pg_trigger_oid, trigger);
}

void refresh_all_topics() {
    if (!is_served())
        return;
    Event event;
    event.kind = EventKind::moved;
    event.origin = "DDL";
    add_pending(event, Delivery::always);
}

void note_table_change(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id) {
    if (!is_served())
        return;
    // A dropped table drops its triggers first, and those are still in the catalog here.
    bool is_trigger =
        class_id == TriggerRelationId && (access == OAT_DROP || access == OAT_POST_ALTER);
    bool is_column = sub_id != 0 && (access == OAT_POST_CREATE || access == OAT_DROP);
    bool is_table = class_id == RelationRelationId && (access == OAT_POST_ALTER || is_column);
    if (!is_trigger && !is_table)
        return;
    bool is_registry =
        is_trigger ? refresh_topics_of(TriggerOidIndexId, Anum_pg_trigger_oid, object_id)
                   : refresh_topics_of(TriggerRelidNameIndexId, Anum_pg_trigger_tgrelid, object_id);
    // pg_restore --disable-triggers takes away what tells the hub of rows, and gives it back.
    if (is_registry && access == OAT_POST_ALTER)
        note_catalog_change();
}

} // namespace rtd::pg
