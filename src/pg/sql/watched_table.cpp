// See watched_table.h. Runs in backends.
#include "pg/sql/watched_table.h"

#include <algorithm>

#include "core/names.h"
#include "pg/registry/watch_columns.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "utils/fmgrprotos.h"
}

namespace rtd::pg {

namespace {

const char *what_it_is(char relkind) {
    switch (relkind) {
    case RELKIND_VIEW:
        return "a view";
    case RELKIND_MATVIEW:
        return "a materialized view";
    case RELKIND_FOREIGN_TABLE:
        return "a foreign table";
    case RELKIND_SEQUENCE:
        return "a sequence";
    case RELKIND_INDEX:
    case RELKIND_PARTITIONED_INDEX:
        return "an index";
    default:
        return "not a table";
    }
}

bool shows_rows_of_others(char relkind) {
    return relkind == RELKIND_VIEW || relkind == RELKIND_MATVIEW ||
           relkind == RELKIND_FOREIGN_TABLE;
}

// What can be done instead.
std::string hint_for(const LockedTable &table, const WatchPurpose &purpose) {
    char relkind = table.get()->rd_rel->relkind;
    if (relkind != RELKIND_MATVIEW)
        return shows_rows_of_others(relkind) ? purpose.instead_of_view : "";
    if (purpose.instead_of_materialized_view != nullptr)
        return purpose.instead_of_materialized_view;
    std::string schema = table.schema_name(), name = table.name();
    const char *relation =
        call([&] { return quote_qualified_identifier(schema.c_str(), name.c_str()); });
    std::replace(name.begin(), name.end(), '_', '-');
    return std::string("It changes when it is refreshed. In one transaction: REFRESH MATERIALIZED "
                       "VIEW ") +
           relation + "; SELECT rtd_refresh('" + name + "'), for each topic that shows it.";
}

bool belongs_to_rtd(Oid relation) {
    return call([&] {
        Oid extension = getExtensionOfObject(RelationRelationId, relation);
        return OidIsValid(extension) && extension == get_extension_oid("rtd", true);
    });
}

} // namespace

LockedTable::LockedTable(Oid oid, LOCKMODE mode)
    : relation_(call([&] { return relation_open(oid, mode); })) {}

LockedTable::~LockedTable() {
    relation_close(relation_, NoLock);
}

void check_may_watch(Oid relation, const WatchPurpose &purpose) {
    const char *name = call([&] { return get_rel_name(relation); });
    if (name == nullptr)
        throw Error(ERRCODE_UNDEFINED_TABLE,
                    "relation with OID " + std::to_string(relation) + " does not exist");
    bool may = call([&] {
        return DatumGetBool(DirectFunctionCall2(has_table_privilege_id, ObjectIdGetDatum(relation),
                                                CStringGetTextDatum("TRIGGER")));
    });
    if (!may)
        throw Error(
            ERRCODE_INSUFFICIENT_PRIVILEGE,
            std::string("permission denied to ") + purpose.verb + " table " + quoted(name), {},
            "Watching needs what CREATE TRIGGER needs: the TRIGGER privilege on the table.");
}

void check_can_be_watched(const LockedTable &table, const WatchPurpose &purpose) {
    std::string cannot =
        std::string("cannot ") + purpose.verb + " " + quoted(table.name()) + ": it ";
    Form_pg_class form = table.get()->rd_rel;
    if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE)
        throw Error(ERRCODE_WRONG_OBJECT_TYPE, cannot + "is " + what_it_is(form->relkind), {},
                    hint_for(table, purpose));
    if (IsCatalogRelation(table.get()))
        throw Error(ERRCODE_WRONG_OBJECT_TYPE, cannot + "is a system catalog");
    if (form->relpersistence == RELPERSISTENCE_TEMP)
        throw Error(ERRCODE_WRONG_OBJECT_TYPE, cannot + "is a temporary table",
                    "Only its own session can see it.");
    if (belongs_to_rtd(table.oid()))
        throw Error(ERRCODE_WRONG_OBJECT_TYPE, cannot + "belongs to rtd itself");
}

std::string likely_topic_of(Oid table) {
    const char *name = call([&] { return get_rel_name(table); });
    std::string topic = name != nullptr ? name : "";
    std::replace(topic.begin(), topic.end(), '_', '-');
    return topic;
}

std::string topic_named_like(const LockedTable &table) {
    std::string topic = table.name();
    std::replace(topic.begin(), topic.end(), '_', '-');
    if (!check_topic_name(topic))
        throw Error(ERRCODE_INVALID_NAME,
                    "the name of table " + quoted(table.name()) + " makes no topic name",
                    "A topic name is kebab-case: lower-case letters and digits in groups joined by "
                    "single hyphens, at most " +
                        std::to_string(kMaxTopicNameBytes) + " bytes.",
                    "Name the topic: topic => '...'.");
    return topic;
}

std::string columns_of(TupleDesc description) {
    std::string names;
    for (int i = 0; i < description->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(description, i);
        if (!attribute->attisdropped)
            names += (names.empty() ? "" : ", ") + std::string(NameStr(attribute->attname));
    }
    return names;
}

} // namespace rtd::pg
