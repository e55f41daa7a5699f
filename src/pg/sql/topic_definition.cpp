// See topic_definition.h. Runs in backends: of whoever runs DDL, when it commits; and, for the
// views, of whoever asks.
#include "pg/sql/topic_definition.h"

#include "pg/analysis/keyed_query.h"
#include "pg/analysis/query_result.h"
#include "pg/analysis/topic_query.h"
#include "pg/registry/watch_columns.h"
#include "pg/server/as_owner.h"
#include "pg/server/attempt.h"
#include "pg/server/catalog_names.h"
#include "pg/shared/shared_state.h"
#include "pg/sql/parameter_types.h"
#include "pg/sql/watch.h"
#include "pg/sql/watch_key.h"
#include "pg/writer/pending_events.h"
#include "pg/writer/table_changes.h"

#include "pg/server/worker_settings.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_extension.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
}

namespace rtd::pg {

namespace {

// An analysis does not wait for long for a table that other DDL holds: its session may wait for
// this one.
class ShortLockTimeout {
  public:
    ShortLockTimeout() { scope_.set("lock_timeout", lock_wait().c_str()); }

  private:
    SettingScope scope_;
};

// Other sessions are in the way, not the query.
bool is_conflict(int sqlstate) {
    return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
           sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

TextList texts_of(const std::set<std::string> &set) {
    return {set.begin(), set.end()};
}

TextList texts_of(const std::set<Oid> &set) {
    TextList texts;
    for (Oid oid : set)
        texts.emplace_back(std::to_string(oid));
    return texts;
}

std::vector<std::string> topics_concerned(const Registry &registry, const Definitions &moved) {
    std::vector<std::string> names;
    Rows found = registry.run_fresh(
        "SELECT t.name FROM @.rtd_topic t WHERE (t.query IS NOT NULL AND ($1"
        " OR EXISTS (SELECT FROM unnest($2) n WHERE strpos(lower(t.query), lower(n)) > 0)))"
        " OR ($1 AND t.query IS NULL AND t.parameters <> '{}')" // whose types may have other names
        " OR EXISTS (SELECT FROM @.rtd_watch w WHERE w.topic = t.name"
        " AND w.relation = ANY ($3::oid[])) ORDER BY t.name",
        {boolean_value(moved.everything), texts_value(texts_of(moved.names)),
         texts_value(texts_of(moved.tables))});
    for (const Row &row : found.rows)
        names.push_back(row[0].text.value_or(""));
    return names;
}

void raise_version(const Registry &registry, const Topic &topic) {
    registry.run("UPDATE @.rtd_topic SET version = version + 1 WHERE name = $1",
                 {text_value(topic.name)});
    forget_watches_of(registry, topic.name);
}

// ---- columns that were renamed ----

// The entry of a watch's columns under the column's new name; the event's field keeps its name.
std::string renamed_entry(const std::string &entry, TupleDesc description,
                          const std::string &former, const std::string &name) {
    ColumnEntry column = parse_column_entry(entry, description);
    if (column.is_table() || column.column != former)
        return entry;
    return column.name == name ? name : name + " AS " + column.name;
}

// A name that the table has again belongs to another column by now, which a query would find too.
bool is_renamed(TupleDesc description, const std::string &former, const std::string &name) {
    return name != former && find_attribute(description, former) == 0;
}

void rename_in_watches(const Registry &registry, Relation table, const std::string &former,
                       const std::string &name) {
    Value oid = oid_value(RelationGetRelid(table), REGCLASSOID);
    Rows watches = registry.run(
        "SELECT topic, columns FROM @.rtd_watch WHERE relation = $1 FOR UPDATE", {oid});
    for (const Row &watch : watches.rows) {
        TextList columns;
        for (const std::optional<std::string> &entry : watch[1].elements)
            columns.emplace_back(
                renamed_entry(entry.value_or(""), RelationGetDescr(table), former, name));
        registry.run("UPDATE @.rtd_watch SET columns = $3,"
                     " parameters = array_replace(parameters, $4, $5),"
                     " key = array_replace(key, $4, $5) WHERE relation = $1 AND topic = $2",
                     {oid, text_value(watch[0].text), texts_value(columns), text_value(former),
                      text_value(name)});
    }
}

void follow_columns(const Registry &registry, const Definitions &moved) {
    for (const auto &[column, former] : moved.columns) {
        Oid oid = column.first;
        auto number = static_cast<AttrNumber>(column.second);
        Relation table = call([&] { return try_relation_open(oid, AccessShareLock); });
        if (table == nullptr)
            continue;
        const char *name = call([&] { return get_attname(oid, number, true); });
        if (name != nullptr && is_renamed(RelationGetDescr(table), former, name))
            rename_in_watches(registry, table, former, name);
        call([&] { relation_close(table, AccessShareLock); });
    }
}

// ---- functions that were renamed ----

// As `former` and `now` of a VALUES list, for what has another name.
std::pair<TextList, TextList> renamed(const std::map<Oid, std::string> &former,
                                      std::optional<std::string> (*name_of)(Oid)) {
    std::pair<TextList, TextList> names;
    for (const auto &[oid, name] : former) {
        std::optional<std::string> now = name_of(oid);
        if (!now || *now == name)
            continue;
        names.first.emplace_back(name);
        names.second.emplace_back(now);
    }
    return names;
}

constexpr char kFollowFunctions[] =
    "UPDATE @.rtd_topic t SET significant = n.now, version = version + 1"
    " FROM unnest($1, $2) AS n (former, now) WHERE t.significant = n.former RETURNING t.name";
constexpr char kFollowSchemas[] =
    "UPDATE @.rtd_topic t"
    " SET significant = n.now || substr(t.significant, length(n.former) + 1), version = version + 1"
    " FROM unnest($1, $2) AS n (former, now)"
    " WHERE starts_with(t.significant, n.former || '.') RETURNING t.name";

void rename_significant(const Registry &registry, const char *statement,
                        const std::pair<TextList, TextList> &names) {
    if (names.first.empty())
        return;
    Rows topics = registry.run(statement, {texts_value(names.first), texts_value(names.second)});
    for (const Row &topic : topics.rows)
        forget_watches_of(registry, topic[0].text.value_or(""));
}

// A function has had its former name before its schema was renamed, or after it.
void follow_functions(const Registry &registry, const Definitions &moved) {
    auto functions = renamed(moved.functions, name_of_function);
    auto schemas = renamed(moved.schemas, name_of_schema);
    if (functions.first.empty() && schemas.first.empty())
        return;
    if (registry.run("SELECT FROM @.rtd_topic WHERE significant IS NOT NULL LIMIT 1", {})
            .rows.empty())
        return;
    std::optional<Error> failed = attempt_with_snapshot([&] {
        ShortLockTimeout limit;
        rename_significant(registry, kFollowFunctions, functions);
        rename_significant(registry, kFollowSchemas, schemas);
        rename_significant(registry, kFollowFunctions, functions);
    });
    if (failed)
        warn(failed->sqlstate(),
             "topics did not follow a renamed significant function: " + failed->message(), {},
             "Name it again: rtd_alter_topic(..., significant => ...).");
}

// ---- the schema of rtd itself ----

// Of a text[]. Inside call().
Datum with_replaced(Datum texts, const char *from, const char *to) {
    Datum *elements = nullptr;
    bool *nulls = nullptr;
    int count = 0;
    deconstruct_array(DatumGetArrayTypeP(texts), TEXTOID, -1, false, TYPALIGN_INT, &elements,
                      &nulls, &count);
    for (int i = 0; i < count; i++)
        if (!nulls[i])
            elements[i] =
                DirectFunctionCall3Coll(replace_text, C_COLLATION_OID, elements[i],
                                        CStringGetTextDatum(from), CStringGetTextDatum(to));
    int size = count, bound = 1;
    return PointerGetDatum(
        construct_md_array(elements, nulls, 1, &size, &bound, TEXTOID, -1, false, TYPALIGN_INT));
}

// The conditions by which pg_dump chooses rows are texts of the catalog, which name the schema and
// which the server does not follow: with a former name in them, no dump of the database succeeds.
void rename_in_dump_conditions(const std::string &former, const std::string &name) {
    std::string table = former + ".rtd_topic", renamed = name + ".rtd_topic";
    call([&] {
        Relation extensions = table_open(ExtensionRelationId, RowExclusiveLock);
        TupleDesc description = RelationGetDescr(extensions);
        ScanKeyData key;
        ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
                    CStringGetDatum("rtd"));
        SysScanDesc scan =
            systable_beginscan(extensions, ExtensionNameIndexId, true, nullptr, 1, &key);
        HeapTuple tuple = systable_getnext(scan);
        bool is_null = true;
        Datum conditions =
            HeapTupleIsValid(tuple)
                ? heap_getattr(tuple, Anum_pg_extension_extcondition, description, &is_null)
                : Datum{0};
        if (!is_null) {
            Datum values[Natts_pg_extension] = {};
            bool nulls[Natts_pg_extension] = {}, replaced[Natts_pg_extension] = {};
            constexpr int place = Anum_pg_extension_extcondition - 1;
            replaced[place] = true;
            values[place] = with_replaced(conditions, table.c_str(), renamed.c_str());
            CatalogTupleUpdate(extensions, &tuple->t_self,
                               heap_modify_tuple(tuple, description, values, nulls, replaced));
        }
        systable_endscan(scan);
        table_close(extensions, RowExclusiveLock);
    });
}

void follow_own_schema(const Registry &registry, const Definitions &moved) {
    auto former = moved.schemas.find(registry.schema());
    if (former == moved.schemas.end() || former->second == registry.schema_name())
        return;
    note_catalog_change();
    rename_in_dump_conditions(former->second, registry.schema_name());
}

// ---- tables that were swapped ----

void warn_of_swapped_tables(const Registry &registry, const Definitions &moved) {
    Rows swapped = registry.run(
        "SELECT w.topic, w.table_name, w.relation::text, f.oid IS NULL FROM @.rtd_watch w"
        " LEFT JOIN pg_class f ON f.oid = w.relation"
        " JOIN pg_namespace n ON n.nspname = w.schema_name"
        " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.table_name"
        " WHERE c.oid <> w.relation AND c.relkind IN ('r', 'p')"
        " AND (c.oid = ANY ($1::oid[]) OR w.relation = ANY ($1::oid[])) ORDER BY 1, 2",
        {texts_value(texts_of(moved.tables))});
    for (const Row &row : swapped.rows) {
        std::string topic = row[0].text.value_or(""), table = row[1].text.value_or("");
        warn(ERRCODE_WARNING,
             "table " + quoted(table) + " is not the one that is watched into topic " +
                 quoted(topic),
             row[3].boolean() ? "The watched table was dropped."
                              : "The watched table is now " + row[2].text.value_or("") + ".",
             "To watch this one, call rtd_watch_table('" + table + "', '" + topic + "').");
    }
}

// ---- analysis ----

// Throws what is wrong with the query now.
void analyze(const Topic &topic) {
    as_owner(topic.owner, topic.search_path, [&] {
        TopicQuery query = analyze_topic_query(*topic.query, topic.parameters.size());
        if (topic.shape)
            check_shape(topic.name, query.columns, *topic.shape);
        if (topic.is_keyed())
            KeyedQuery(*topic.query, topic.parameters.size(), topic.key);
    });
}

std::optional<std::string> problem_of(const Topic &topic) {
    if (call([&] { return GetUserNameFromId(topic.owner, true); }) == nullptr)
        return "the owner was dropped";
    if (!topic.has_query())
        return std::nullopt;
    std::optional<Error> failed = attempt_with_snapshot([&] {
        ShortLockTimeout limit;
        analyze(topic);
    });
    if (failed)
        return "the query fails: " + failed->message();
    if (topic.significant && !OidIsValid(comparison_named(*topic.significant)))
        return "every state is sent: the significant function " + *topic.significant +
               "(jsonb,jsonb) does not exist";
    return std::nullopt;
}

} // namespace

void rederive_topic(const Registry &registry, const Topic &topic) {
    auto try_to = [&](auto &&change) {
        return attempt_with_snapshot([&] {
            ShortLockTimeout limit;
            if (change())
                raise_version(registry, topic);
        });
    };
    std::optional<Error> failed = try_to([&] { return update_parameters(registry, topic.name); });
    if (!failed && topic.is_keyed())
        failed = try_to([&] { return derive_watch_keys(registry, topic, true, Telling::silent); });
    if (failed && topic.is_keyed() && is_conflict(failed->sqlstate()))
        failed = try_to([&] { return forget_watch_keys(registry, topic); });
    if (failed && is_conflict(failed->sqlstate()))
        warn(failed->sqlstate(),
             "topic " + quoted(topic.name) + " could not follow the DDL: " + failed->message(), {},
             "Call rtd_watch_table() again for the tables that are watched into it.");
}

void follow_definitions(const Registry &registry, const Definitions &moved) {
    std::vector<std::string> topics = topics_concerned(registry, moved);
    follow_columns(registry, moved);
    follow_functions(registry, moved);
    follow_own_schema(registry, moved);
    if (moved.everything || !topics.empty())
        note_definitions_moved();
    for (const std::string &name : topics) {
        if (std::optional<Topic> topic =
                moved.moves_keys ? find_topic(registry, name) : std::nullopt)
            rederive_topic(registry, *topic);
        if (!moved.everything)
            refresh_topic(name);
    }
    if (moved.everything)
        refresh_all_topics();
    warn_of_swapped_tables(registry, moved);
}

} // namespace rtd::pg

using namespace rtd::pg;

// (topic text) returns text, for rtd_topics.
RTD_FUNCTION(rtd_topic_problem) {
    struct Text {
        Datum datum;
        bool null;
    };
    Text problem = enter([&]() -> Text {
        Arguments arguments(fcinfo);
        std::optional<Topic> topic =
            find_topic(Registry(arguments.function()), arguments.needed_text(0, "the topic"));
        std::optional<std::string> sentence = topic ? problem_of(*topic) : std::nullopt;
        if (!sentence)
            return {0, true};
        return {call([&] { return CStringGetTextDatum(sentence->c_str()); }), false};
    });
    if (problem.null)
        PG_RETURN_NULL();
    return problem.datum;
}
