// See topic_definition.h. Runs in backends: of whoever runs DDL, when it commits; and, for the
// views, of whoever asks.
#include "pg/sql/topic_definition.h"

#include "pg/analysis/keyed_query.h"
#include "pg/analysis/query_result.h"
#include "pg/analysis/topic_query.h"
#include "pg/registry/watch_columns.h"
#include "pg/server/attempt.h"
#include "pg/shared/shared_state.h"
#include "pg/sql/parameter_types.h"
#include "pg/sql/watch.h"
#include "pg/sql/watch_key.h"
#include "pg/writer/pending_events.h"
#include "pg/writer/table_changes.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/relation.h"
}

namespace rtd::pg {

namespace {

// How long an analysis waits for a table that other DDL holds: its session may wait for this one.
constexpr char kLockTimeout[] = "200ms";

class ShortLockTimeout {
  public:
    ShortLockTimeout() : nest_level_(NewGUCNestLevel()) {
        call([] {
            (void)set_config_option("lock_timeout", kLockTimeout, PGC_USERSET, PGC_S_SESSION,
                                    GUC_ACTION_SAVE, true, 0, false);
        });
    }
    ~ShortLockTimeout() { AtEOXact_GUC(true, nest_level_); }
    ShortLockTimeout(const ShortLockTimeout &) = delete;
    ShortLockTimeout &operator=(const ShortLockTimeout &) = delete;

  private:
    int nest_level_;
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
    ActingAs role(topic.owner, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
    SearchPath path(topic.search_path.c_str());
    TopicQuery query = analyze_topic_query(*topic.query, topic.parameters.size());
    if (topic.shape)
        check_shape(topic.name, query.columns, *topic.shape);
    if (topic.is_keyed())
        KeyedQuery(*topic.query, topic.parameters.size(), topic.key);
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
    if (!failed)
        return std::nullopt;
    return "the query fails: " + failed->message();
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
