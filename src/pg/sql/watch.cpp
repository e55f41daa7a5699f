// rtd_watch_table() and rtd_unwatch_table(). Runs in backends.
//
// A watch is a row of rtd_watch and one or two triggers, `rtd_<topic>` for rows and
// `rtd_<topic>_truncate`. The triggers' only argument is the topic; everything else is read from
// rtd_watch when a backend first fires them, so the row is the one truth, a trigger that somebody
// makes by hand does nothing, and changing a topic needs no DDL on the tables that feed it.
//
// The triggers are made by the caller (who needs the TRIGGER privilege, and in whose name the
// condition is analyzed) and depend on the extension: DROP EXTENSION takes them along, and the
// table works on.
#include "pg/sql/watch.h"

#include <algorithm>

#include "pg/analysis/condition.h"
#include "pg/registry/topic.h"
#include "pg/registry/watch_columns.h"
#include "pg/server/as_owner.h"
#include "pg/server/ddl_command.h"
#include "pg/sql/parameter_types.h"
#include "pg/sql/topic_ddl.h"
#include "pg/sql/topic_declaration.h"
#include "pg/sql/watch_key.h"
#include "pg/sql/watched_table.h"
#include "pg/writer/pending_events.h"
#include "pg/writer/table_changes.h"
#include "router/event.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace rtd::pg {

namespace {

struct Operation {
    const char *name;
    int16 event;
};
constexpr Operation kOperations[] = {
    {"INSERT", TRIGGER_TYPE_INSERT},
    {"UPDATE", TRIGGER_TYPE_UPDATE},
    {"DELETE", TRIGGER_TYPE_DELETE},
    {"TRUNCATE", TRIGGER_TYPE_TRUNCATE},
};

// ---- what an event carries ----

std::vector<std::string> primary_key_of(const LockedTable &table) {
    Bitmapset *key = call(
        [&] { return RelationGetIndexAttrBitmap(table.get(), INDEX_ATTR_BITMAP_PRIMARY_KEY); });
    std::vector<std::string> names;
    for (int bit = -1; (bit = bms_next_member(key, bit)) >= 0;) {
        AttrNumber attribute = static_cast<AttrNumber>(bit + FirstLowInvalidHeapAttributeNumber);
        names.emplace_back(NameStr(TupleDescAttr(table.description(), attribute - 1)->attname));
    }
    return names;
}

void check_payload_names(const std::vector<ColumnEntry> &columns) {
    std::vector<std::string> taken = {"operation", "timestamp"};
    for (const ColumnEntry &column : columns) {
        if (column.name == "operation" || column.name == "timestamp")
            throw Error(ERRCODE_RESERVED_NAME,
                        "column " + quoted(column.name) +
                            " has the name of a field that every "
                            "event has",
                        {}, "Rename it in the event: columns => '{" + column.column + " AS ...}'.");
        if (std::find(taken.begin(), taken.end(), column.name) != taken.end())
            throw Error(ERRCODE_DUPLICATE_COLUMN,
                        "the name " + quoted(column.name) + " is given twice in columns");
        taken.push_back(column.name);
    }
}

Error no_such_column(const LockedTable &table, const std::string &column, const char *where) {
    return Error(ERRCODE_UNDEFINED_COLUMN,
                 "column " + quoted(column) + " of table " + quoted(table.name()) +
                     " does not exist",
                 "It is named in " + std::string(where) +
                     ". The table has: " + columns_of(table.description()) + ".");
}

TextList checked_columns(const LockedTable &table, const Topic &topic,
                         const std::optional<TextList> &given) {
    TextList entries = given.value_or(TextList{});
    if (!given) {
        for (const std::string &column : primary_key_of(table))
            entries.emplace_back(column);
        if (entries.empty() && !topic.has_query())
            throw Error(ERRCODE_INVALID_TABLE_DEFINITION,
                        "table " + quoted(table.name()) + " has no primary key",
                        "An event carries the primary key unless columns says what it carries; a "
                        "deferrable one does not count.",
                        "Name the columns: columns => '{...}'. The first one is the key.");
    }
    std::vector<ColumnEntry> columns;
    for (const std::optional<std::string> &entry : entries) {
        if (!entry)
            throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "an entry of columns must not be null");
        columns.push_back(parse_column_entry(*entry, table.description()));
        if (!columns.back().is_table() &&
            find_attribute(table.description(), columns.back().column) == 0)
            throw no_such_column(table, columns.back().column, "columns");
    }
    check_payload_names(columns);
    return entries;
}

TextList checked_parameters(const LockedTable &table, const Topic &topic,
                            const std::optional<TextList> &given) {
    std::string names;
    for (const std::string &name : topic.parameters)
        names += (names.empty() ? "" : ", ") + name;
    TextList parameters =
        given.value_or(TextList(topic.parameters.begin(), topic.parameters.end()));
    if (parameters.size() != topic.parameters.size())
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                    "topic " + quoted(topic.name) + " has " +
                        counted(topic.parameters.size(), "parameter") + ", not " +
                        std::to_string(parameters.size()),
                    names.empty() ? "" : "Its parameters are: " + names + ".",
                    "Give one column per parameter, NULL where the table does not know the value.");
    for (const std::optional<std::string> &parameter : parameters) {
        if (!parameter || find_attribute(table.description(), *parameter) != 0)
            continue;
        if (given)
            throw no_such_column(table, *parameter, "parameters");
        throw Error(ERRCODE_UNDEFINED_COLUMN,
                    "table " + quoted(table.name()) + " has no column for parameter " +
                        quoted(*parameter) + " of topic " + quoted(topic.name),
                    "The topic's parameters are: " + names +
                        ". The table has: " + columns_of(table.description()) + ".",
                    "Name a column for each of them: parameters => '{...}'. NULL matches every "
                    "value of that parameter.");
    }
    return parameters;
}

Value key_value(const std::optional<std::vector<std::string>> &key) {
    Value value = texts_value(key ? TextList(key->begin(), key->end()) : TextList{});
    value.null = !key;
    return value;
}

// In canonical order, each once.
std::vector<const Operation *> checked_operations(const TextList &given) {
    std::vector<std::string> wanted;
    for (const std::optional<std::string> &name : given) {
        wanted.push_back(upper(name.value_or("NULL")));
        bool known = std::any_of(std::begin(kOperations), std::end(kOperations),
                                 [&](const Operation &op) { return wanted.back() == op.name; });
        if (!known)
            throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                        quoted(name.value_or("NULL")) + " is not an operation",
                        "Operations are INSERT, UPDATE, DELETE and TRUNCATE.");
    }
    if (wanted.empty())
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "operations must not be empty", {},
                    "To end a watch, call rtd_unwatch_table().");
    std::vector<const Operation *> operations;
    for (const Operation &operation : kOperations)
        if (std::find(wanted.begin(), wanted.end(), operation.name) != wanted.end())
            operations.push_back(&operation);
    return operations;
}

// ---- triggers ----

// Within the 63 bytes of a name; a name that is too long is cut and told apart by its hash.
std::string trigger_name(const std::string &topic, const std::string &suffix) {
    std::string name = "rtd_" + topic + suffix;
    if (name.size() < NAMEDATALEN)
        return name;
    char hash[10];
    snprintf(hash, sizeof hash, "_%08x", static_cast<unsigned>(topic_key(topic)));
    size_t kept = NAMEDATALEN - 1 - strlen("rtd_") - strlen(hash) - suffix.size();
    return "rtd_" + topic.substr(0, kept) + hash + suffix;
}

Oid trigger_function(const Registry &registry) {
    Oid function = call([&] {
        oidvector *none = buildoidvector(nullptr, 0);
        return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("rtd_trigger"),
                               PointerGetDatum(none), ObjectIdGetDatum(registry.schema()));
    });
    if (!OidIsValid(function))
        throw Error(ERRCODE_UNDEFINED_FUNCTION,
                    "function rtd_trigger() of extension \"rtd\" does not exist");
    return function;
}

// Made as the caller; depends on the extension, so that DROP EXTENSION drops it without CASCADE.
void create_trigger(const Registry &registry, const LockedTable &table, const std::string &topic,
                    const std::string &name, int16 events, bool per_row,
                    const std::optional<std::string> &condition) {
    Oid function = trigger_function(registry);
    Oid schema = registry.schema();
    Node *when = condition ? parse_condition(*condition, "the WHEN clause of a trigger",
                                             "'NEW.status = ''done'''")
                           : nullptr;
    auto *statement = call([&] {
        auto *made = makeNode(CreateTrigStmt);
        made->trigname = pstrdup(name.c_str());
        made->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(table.get())),
                                      pstrdup(RelationGetRelationName(table.get())), -1);
        made->funcname =
            list_make2(makeString(get_namespace_name(schema)), makeString(get_func_name(function)));
        made->args = list_make1(makeString(pstrdup(topic.c_str())));
        made->row = per_row;
        made->timing = TRIGGER_TYPE_AFTER;
        made->events = events;
        made->whenClause = when;
        return made;
    });
    run_ddl(reinterpret_cast<Node *>(statement), [&] {
        // The analysis of a condition may run code, which is the table's owner's (casts of
        // literals) or the caller's. It is the owner, as for the expressions of an index, if the
        // caller could be.
        std::optional<ActingAs> role;
        std::optional<SettingScope> settings;
        std::optional<ReadOnly> nothing_is_written; // by SQL; the trigger is made without
        if (condition) {
            Oid owner = table.get()->rd_rel->relowner, caller = GetUserId();
            role.emplace(call([&] { return has_privs_of_role(caller, owner); }) ? owner : caller,
                         kAsOthersCode);
            settings.emplace();
            nothing_is_written.emplace();
        }
        return call([&] {
            ObjectAddress trigger = CreateTrigger(statement, condition ? condition->c_str() : "",
                                                  table.oid(), InvalidOid, InvalidOid, InvalidOid,
                                                  function, InvalidOid, nullptr, false, false);
            ObjectAddress extension;
            ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("rtd", false));
            recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
            CommandCounterIncrement();
            return trigger;
        });
    });
}

// The server clones the row trigger of a partitioned table to its partitions, under its name. It
// must not meet there the trigger of a watch of the partition itself: ATTACH PARTITION would fail.
std::string suffix_for(const LockedTable &table) {
    return table.get()->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
               ? "_of_" + std::to_string(table.oid())
               : "";
}

// What the condition of a watch is refused with, and what to do about it.
void create_write_trigger(const Registry &registry, const LockedTable &table,
                          const std::string &topic, int16 events, bool per_row,
                          const std::optional<std::string> &condition) {
    try {
        create_trigger(registry, table, topic, trigger_name(topic, suffix_for(table)), events,
                       per_row, condition);
    } catch (const Error &error) {
        if (error.sqlstate() != ERRCODE_INVALID_OBJECT_DEFINITION || !condition)
            throw;
        throw Error(
            error.sqlstate(), error.message(), error.detail(),
            "Say which operations it is for: operations => '{INSERT,UPDATE}' for a condition "
            "on NEW, '{UPDATE,DELETE}' on OLD, '{UPDATE}' on both.");
    }
}

// A statement fires the statement triggers of the table it names, not those of the partitions and
// children that it writes to; row triggers are fired where the row is.
bool has_relatives(const LockedTable &table) {
    return table.get()->rd_rel->relkind != RELKIND_RELATION ||
           call([&] { return has_superclass(table.oid()); });
}

Node *drop_statement(Oid relation, const std::string &name) {
    return call([&] {
        List *trigger =
            list_make3(makeString(get_namespace_name(get_rel_namespace(relation))),
                       makeString(get_rel_name(relation)), makeString(pstrdup(name.c_str())));
        auto *statement = makeNode(DropStmt);
        statement->removeType = OBJECT_TRIGGER;
        statement->objects = list_make1(trigger);
        return reinterpret_cast<Node *>(statement);
    });
}

// The triggers are found by what they do, not by their names, which may have been changed.
void drop_triggers(const Registry &registry, Oid relation, const std::string &topic) {
    Rows found =
        registry.run("SELECT oid, tgname::text FROM pg_trigger WHERE tgrelid = $1 AND tgfoid = $2"
                     " AND tgparentid = 0 AND tgargs = $3 ORDER BY tgname",
                     {oid_value(relation), oid_value(trigger_function(registry)),
                      bytes_value(topic + std::string(1, '\0'))});
    for (const Row &row : found.rows) {
        Oid trigger = row[0].oid();
        run_ddl(drop_statement(relation, row[1].text.value_or("")), [&] {
            return call([&] {
                ObjectAddress address;
                ObjectAddressSet(address, TriggerRelationId, trigger);
                performDeletion(&address, DROP_RESTRICT, 0);
                CommandCounterIncrement();
                return InvalidObjectAddress;
            });
        });
    }
}

// A relcache invalidation of the table and its partitions drops the watches that backends keep.
void forget_watches_on(Oid relation) {
    call([&] {
        if (get_rel_name(relation) == nullptr)
            return; // it was dropped
        ListCell *cell;
        foreach (cell, find_all_inheritors(relation, NoLock, nullptr))
            if (get_rel_name(lfirst_oid(cell)) != nullptr)
                CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
    });
}

// Rows of tables that were dropped since: nothing tells us when it happens. Those of other topics
// are not touched, because whoever is about them would wait for this transaction.
void purge_dropped_tables(const Registry &registry, const std::string &topic) {
    registry.run("DELETE FROM @.rtd_watch WHERE topic = $1 AND NOT EXISTS"
                 " (SELECT FROM pg_class WHERE pg_class.oid = relation)",
                 {text_value(topic)});
}

// A table that gave its name to the one that is watched now is a table like others: see
// rtd_watched_tables.problem.
void forget_former_name(const Registry &registry, const std::string &topic) {
    registry.run("UPDATE @.rtd_watch w SET schema_name = n.nspname, table_name = c.relname"
                 " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE c.oid = w.relation AND w.topic = $1"
                 " AND (w.schema_name, w.table_name) IS DISTINCT FROM (n.nspname, c.relname)",
                 {text_value(topic)});
}

} // namespace

void watch_table(const Registry &registry, const WatchOptions &options) {
    Oid oid = options.relation;
    check_may_watch(oid);
    lock_topic(registry, options.topic.value_or(likely_topic_of(oid)));
    LockedTable table(oid);
    check_can_be_watched(table);

    std::optional<std::string> topic_name = options.topic;
    if (!topic_name) {
        topic_name = topic_named_like(table);
        if (!find_topic(registry, *topic_name)) {
            create_event_topic(registry, *topic_name);
            notice("created event topic " + quoted(*topic_name),
                   "It is fed by table " + quoted(table.name()) +
                       (options.columns ? "." : ", with the primary key as payload."));
        }
    }
    Topic topic = needed_locked_topic(registry, *topic_name);

    TextList columns = checked_columns(table, topic, options.columns);
    WatchKey key = derive_watch_key(topic, table.oid(), table.description(), options.columns);
    TextList parameters = checked_parameters(table, topic, options.parameters);
    std::vector<const Operation *> operations = checked_operations(options.operations);
    const std::optional<std::string> &condition = options.condition;
    const std::optional<std::string> &channel = options.channel;
    if (channel)
        check_channel_name(*channel);

    TextList operation_names;
    int16 row_events = 0;
    bool truncate = false;
    for (const Operation *operation : operations) {
        operation_names.emplace_back(operation->name);
        if (operation->event == TRIGGER_TYPE_TRUNCATE)
            truncate = true;
        else
            row_events = static_cast<int16>(row_events | operation->event);
    }
    if (condition && row_events == 0)
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "a condition needs an operation on rows",
                    "TRUNCATE has no rows to which it could apply.");

    // "It changed" can be said without looking at a row, and a trigger on rows costs each of them.
    bool says_row = !topic.has_query() || key.columns;
    bool per_row = says_row || !parameters.empty() || condition || channel || options.audit ||
                   has_relatives(table);

    purge_dropped_tables(registry, topic.name);
    drop_triggers(registry, oid, topic.name);
    if (row_events != 0)
        create_write_trigger(registry, table, topic.name, row_events, per_row, condition);
    if (truncate)
        create_trigger(registry, table, topic.name, trigger_name(topic.name, "_truncate"),
                       TRIGGER_TYPE_TRUNCATE, false, std::nullopt);
    registry.run("INSERT INTO @.rtd_watch AS w"
                 " (relation, topic, columns, parameters, operations, condition, channel, audit,"
                 " key, key_is_named, schema_name, table_name)"
                 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
                 " ON CONFLICT (relation, topic) DO UPDATE SET columns = excluded.columns,"
                 " parameters = excluded.parameters, operations = excluded.operations,"
                 " condition = excluded.condition, channel = excluded.channel,"
                 " audit = excluded.audit, key = excluded.key,"
                 " key_is_named = excluded.key_is_named, schema_name = excluded.schema_name,"
                 " table_name = excluded.table_name",
                 {oid_value(oid, REGCLASSOID), text_value(topic.name), texts_value(columns),
                  texts_value(parameters), texts_value(operation_names), text_value(condition),
                  text_value(channel), boolean_value(options.audit), key_value(key.columns),
                  boolean_value(key.is_named), text_value(table.schema_name()),
                  text_value(table.name())});
    forget_former_name(registry, topic.name);
    update_parameters(registry, topic.name);
    forget_watches_of(registry, topic.name); // and how others tell parameters
    note_catalog_change();
    refresh_topic(topic.name); // rows may have been written before
}

namespace {

void check_may_unwatch(const Registry &registry, Oid relation, const std::string &topic_name) {
    bool owns_table = call([&] {
        return get_rel_name(relation) != nullptr && RTD_MUST_OWN(RelationRelationId, relation);
    });
    if (!owns_table)
        check_owner(needed_topic(registry, topic_name));
}

void remove_watch(const Registry &registry, Oid relation, const std::string &topic) {
    drop_triggers(registry, relation, topic);
    registry.run("DELETE FROM @.rtd_watch WHERE relation = $1 AND topic = $2",
                 {oid_value(relation, REGCLASSOID), text_value(topic)});
    forget_watches_on(relation);
}

// Before the table: see lock_topic().
void lock_topics_of(const Registry &registry, const Rows &watches) {
    TextList names;
    for (const Row &row : watches.rows)
        names.push_back(row[0].text);
    registry.run("SELECT FROM @.rtd_topic WHERE name = ANY ($1) ORDER BY name FOR NO KEY UPDATE",
                 {texts_value(names)});
}

void unwatch_table(const Registry &registry, Oid relation,
                   const std::optional<std::string> &topic) {
    const char *name = call([&] { return get_rel_name(relation); });
    Rows watches = registry.run("SELECT topic FROM @.rtd_watch"
                                " WHERE relation = $1 AND ($2 IS NULL OR topic = $2)"
                                " ORDER BY topic",
                                {oid_value(relation, REGCLASSOID), text_value(topic)});
    if (watches.rows.empty())
        throw Error(ERRCODE_UNDEFINED_OBJECT,
                    "table " + quoted(name != nullptr ? name : std::to_string(relation)) +
                        " is not watched" + (topic ? " into topic " + quoted(*topic) : ""),
                    {}, "rtd_watched_tables shows all watches.");
    for (const Row &row : watches.rows)
        check_may_unwatch(registry, relation, row[0].text.value_or(""));
    lock_topics_of(registry, watches);
    for (const Row &row : watches.rows) {
        std::string name = row[0].text.value_or("");
        remove_watch(registry, relation, name);
        update_parameters(registry, name);
        forget_watches_of(registry, name);
    }
    note_catalog_change();
}

Rows watched_into(const Registry &registry, const std::string &topic) {
    return registry.run("SELECT w.relation::oid FROM @.rtd_watch w"
                        " JOIN pg_class c ON c.oid = w.relation WHERE w.topic = $1",
                        {text_value(topic)});
}

} // namespace

void drop_watches_of(const Registry &registry, const std::string &topic) {
    for (const Row &row : watched_into(registry, topic).rows)
        remove_watch(registry, row[0].oid(), topic);
}

void forget_watches_of(const Registry &registry, const std::string &topic) {
    for (const Row &row : watched_into(registry, topic).rows)
        forget_watches_on(row[0].oid());
}

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_watch_table) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        WatchOptions options;
        options.relation = arguments.needed_oid(0, "the table to watch");
        options.topic = arguments.text(1);
        options.columns = arguments.texts(2);
        options.parameters = arguments.texts(3);
        options.operations = arguments.texts(4).value_or(options.operations);
        options.condition = arguments.text(5);
        options.channel = arguments.text(6);
        options.audit = arguments.boolean(7, false);
        watch_table(Registry(arguments.function()), options);
        return 0;
    });
}

RTD_FUNCTION(rtd_unwatch_table) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        unwatch_table(Registry(arguments.function()), arguments.needed_oid(0, "the watched table"),
                      arguments.text(1));
        return 0;
    });
}
