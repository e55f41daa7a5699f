// rtd_create_topic(), rtd_alter_topic(), rtd_drop_topic(). Runs in backends. What can be refused is
// refused here, with a hint, so that neither a writer nor the hub ever meets a topic that cannot
// work.
//
// A topic's query is checked as it will run: as the topic's owner, in a security-restricted
// operation, under the search_path that is stored with it.
#include "pg/sql/topic_ddl.h"

#include "pg/analysis/keyed_query.h"
#include "pg/analysis/query_result.h"
#include "pg/analysis/topic_query.h"
#include "pg/registry/topic.h"
#include "pg/server/as_owner.h"
#include "pg/server/saved_plan.h"
#include "pg/sql/parameter_types.h"
#include "pg/sql/topic_declaration.h"
#include "pg/sql/topic_owner.h"
#include "pg/sql/watch.h"
#include "pg/sql/watch_key.h"
#include "pg/writer/pending_events.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/varlena.h"
}

namespace rtd::pg {

namespace {

// A search_path as it is stored: as it is written, but without pg_temp, because the query runs in
// another session. "$user" means the owner; where the query runs as somebody else, who must not
// choose its tables, the owner's name takes its place.
std::string stored_search_path(const std::string &setting, bool is_invoker, Oid owner) {
    std::string path;
    List *schemas = NIL;
    bool valid =
        call([&] { return SplitIdentifierString(pstrdup(setting.c_str()), ',', &schemas); });
    if (!valid)
        throw Error(ERRCODE_INVALID_NAME, "search_path is not a list of names");
    ListCell *cell;
    foreach (cell, schemas) {
        auto *schema = static_cast<const char *>(lfirst(cell));
        if (strncmp(schema, "pg_temp", 7) == 0)
            continue;
        if (is_invoker && strcmp(schema, "$user") == 0)
            schema = call([&] { return GetUserNameFromId(owner, false); });
        path += path.empty() ? "" : ", ";
        path += call([&] { return quote_identifier(schema); });
    }
    return path.empty() ? "\"\"" : path;
}

std::string current_search_path() {
    return call([] { return GetConfigOption("search_path", false, false); });
}

void check_keyed_query(const std::string &name, const std::string &query, size_t parameter_count,
                       const std::vector<std::string> &key) {
    KeyedQuery keyed(query, parameter_count, key);
    std::vector<Oid> types = keyed.parameter_types();
    start_query(keyed.select_all(), types);
    for (const KeyColumn &column : keyed.key())
        types.push_back(call([&] { return get_array_type(column.type); }));
    start_query(keyed.select_keys(), types);
    if (!keyed.why_all().empty())
        notice("every change makes topic \"" + name + "\" be read again as a whole",
               "One row may change others: " + keyed.why_all() + ".",
               "Clients still get nothing but the rows that differ. A throttle spares queries.");
}

// As whom and where a topic's query runs.
struct Runner {
    Oid owner;
    std::string search_path;
};

OutputColumns check_query(const TopicDeclaration &topic, const Runner &runner) {
    TopicQuery analyzed;
    as_owner(runner.owner, runner.search_path, [&] {
        analyzed = analyze_topic_query(*topic.query, topic.parameter_count());
        start_query(*topic.query, analyzed.parameter_types);
        if (topic.is_keyed())
            check_keyed_query(topic.name, *topic.query, topic.parameter_count(),
                              topic.key_columns());
    });
    return analyzed.columns;
}

struct CheckedQuery {
    OutputColumns columns;
    ResultShape shape;
};

CheckedQuery check_result(const TopicDeclaration &topic, const Runner &runner,
                          std::optional<ResultShape> before) {
    OutputColumns columns = check_query(topic, runner);
    if (topic.is_keyed()) // whatever it was before
        return {columns, ResultShape::rows};
    return {columns, decide_shape(topic.name, columns, topic.shape, before)};
}

// Says what the query's result becomes where nobody said it.
void explain_result(const TopicDeclaration &topic, const CheckedQuery &checked) {
    if (!topic.is_keyed() && !topic.shape)
        explain_shape(topic.name, checked.columns, checked.shape);
}

// What a topic is besides its declaration, after the declared columns and in this order.
std::vector<Value> values_of(const TopicDeclaration &topic, const Runner &runner,
                             std::optional<ResultShape> shape) {
    std::vector<Value> values = declared_values(topic);
    values.push_back(oid_value(runner.owner, REGROLEOID));
    values.push_back(text_value(runner.search_path));
    values.push_back(
        text_value(shape ? std::optional<std::string>(shape_name(*shape)) : std::nullopt));
    return values;
}

std::string columns_of_topic() {
    return std::string(kDeclaredColumns) + ", owner, search_path, shape";
}

std::string places(size_t count) {
    std::string list;
    for (size_t i = 1; i <= count; i++)
        list += (list.empty() ? "$" : ", $") + std::to_string(i);
    return list;
}

// False if a topic of this name exists already.
bool insert_topic(const Registry &registry, const TopicDeclaration &topic) {
    Runner runner = {GetUserId(),
                     stored_search_path(current_search_path(), topic.is_invoker(), GetUserId())};
    check_declaration(topic);
    if (find_topic(registry, topic.name))
        return false;
    std::optional<CheckedQuery> checked;
    if (topic.has_query())
        checked = check_result(topic, runner, std::nullopt);
    check_significant_function(topic, runner.owner);
    std::vector<Value> values =
        values_of(topic, runner, checked ? std::optional(checked->shape) : std::nullopt);
    Rows inserted = registry.run("INSERT INTO @.rtd_topic (" + columns_of_topic() + ") VALUES (" +
                                     places(values.size()) + ") ON CONFLICT DO NOTHING",
                                 values);
    if (inserted.affected == 0)
        return false;
    if (checked)
        explain_result(topic, *checked);
    describe_parameters(registry, needed_topic(registry, topic.name));
    note_catalog_change();
    return true;
}

void check_parameters_are_free(const Registry &registry, const std::string &topic) {
    Rows users =
        registry.run("SELECT relation::text FROM @.rtd_watch WHERE topic = $1"
                     " UNION ALL SELECT channel FROM @.rtd_channel WHERE topic = $1 LIMIT 1",
                     {text_value(topic)});
    if (!users.rows.empty())
        throw Error(ERRCODE_OBJECT_IN_USE,
                    "cannot change the parameters of topic \"" + topic +
                        "\" because it is fed by " + users.rows[0][0].text.value_or(""),
                    {}, "Call rtd_unwatch_table() or rtd_unlisten() first.");
}

// What a change asks to be looked at again. The rest of a topic may be broken by now, by a table
// that was dropped, and can be changed all the same.
struct Change {
    bool renumbers, becomes_other_kind, reads_other, has_other_owner, decides_shape;
};

Change compare(const Topic &topic, const TopicDeclaration &before, const TopicDeclaration &after,
               const TopicDeclaration &given, Oid owner) {
    Change change{};
    change.renumbers = after.parameters != before.parameters;
    change.becomes_other_kind = std::string_view(after.kind()) != before.kind();
    change.reads_other = given.query || change.renumbers || after.key != before.key;
    change.has_other_owner = owner != topic.owner;
    change.decides_shape = given.query || given.shape || change.becomes_other_kind;
    return change;
}

std::optional<ResultShape> changed_shape(const Topic &topic, const TopicDeclaration &after,
                                         const TopicDeclaration &given, const Change &change,
                                         const Runner &runner) {
    if (!after.has_query() ||
        !(change.reads_other || change.decides_shape || change.has_other_owner))
        return topic.shape;
    CheckedQuery checked = check_result(after, runner, topic.shape);
    if (given.query)
        explain_result(after, checked);
    return after.is_keyed() || change.decides_shape ? checked.shape : topic.shape;
}

// What of the former topic must not be taken for the new one's: also by those who resume.
struct Forgotten {
    bool retained, numbers;
};

Forgotten forgotten_by(const TopicDeclaration &before, const TopicDeclaration &given,
                       const TopicDeclaration &after, const Change &change) {
    return {change.renumbers || change.becomes_other_kind || given.retain == false,
            change.renumbers || (before.is_durable() && !after.is_durable())};
}

void forget_messages(const Registry &registry, const std::string &topic, Forgotten forgotten) {
    if (forgotten.retained)
        registry.run("DELETE FROM @.rtd_retained WHERE topic = $1", {text_value(topic)});
    if (forgotten.numbers)
        registry.run("DELETE FROM @.rtd_durable_instance WHERE topic = $1", {text_value(topic)});
}

void alter_topic(const Registry &registry, const TopicDeclaration &given,
                 std::optional<Oid> new_owner) {
    Topic topic = needed_locked_topic(registry, given.name);
    if (new_owner)
        check_new_owner(topic, *new_owner);
    if (given.query && given.query->empty())
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "a topic cannot lose its query", {},
                    "Drop the topic and create it again as an event topic.");
    TopicDeclaration before = stored_declaration(registry, topic);
    TopicDeclaration after = with_change(before, given);
    Oid owner = new_owner.value_or(topic.owner);
    Change change = compare(topic, before, after, given, owner);
    check_declaration(after);
    if (change.renumbers)
        check_parameters_are_free(registry, topic.name);
    Runner runner = {owner,
                     stored_search_path(given.query ? current_search_path() : topic.search_path,
                                        after.is_invoker(), owner)};
    std::optional<ResultShape> shape = changed_shape(topic, after, given, change, runner);
    if (given.significant || change.becomes_other_kind || change.has_other_owner)
        check_significant_function(after, owner);

    Forgotten forgotten = forgotten_by(before, given, after, change);
    if (forgotten.retained || forgotten.numbers) // as a DROP would: see store/topic_lock.h
        registry.run("SELECT FROM @.rtd_topic WHERE name = $1 FOR UPDATE",
                     {text_value(topic.name)});
    std::vector<Value> values = values_of(after, runner, shape);
    registry.run("UPDATE @.rtd_topic SET (" + columns_of_topic() + ", version) = ROW (" +
                     places(values.size()) + ", version + 1) WHERE name = $1",
                 values);
    if (change.reads_other || change.has_other_owner) { // "$user" in the search_path is the owner
        derive_watch_keys(registry, needed_topic(registry, topic.name), after.key == before.key,
                          Telling::by_notice);
        describe_parameters(registry, needed_topic(registry, topic.name));
    }
    forget_messages(registry, topic.name, forgotten);
    // Triggers keep a topic's kind and options in memory.
    forget_watches_of(registry, topic.name);
    note_catalog_change();
}

void drop_topic(const Registry &registry, const std::string &name, bool if_exists) {
    std::optional<Topic> topic = lock_topic(registry, name);
    if (!topic && if_exists)
        return notice("topic \"" + name + "\" does not exist, skipping");
    if (!topic)
        topic = needed_topic(registry, name); // throws
    drop_watches_of(registry, name);
    registry.run("DELETE FROM @.rtd_topic WHERE name = $1", {text_value(name)});
    note_catalog_change();
}

TopicDeclaration declaration_of(const QueryTopic &topic) {
    TopicDeclaration declaration;
    declaration.name = topic.name;
    declaration.query = topic.query;
    declaration.key = topic.key;
    declaration.security = topic.is_invoker ? "invoker" : "definer";
    declaration.shape = shape_name(ResultShape::rows);
    return declaration;
}

} // namespace

void create_event_topic(const Registry &registry, const std::string &name) {
    check_may_create(GetUserId());
    TopicDeclaration topic;
    topic.name = name;
    check_declared_name(name);
    insert_topic(registry, topic);
}

void create_query_topic(const Registry &registry, const QueryTopic &topic) {
    check_may_create(GetUserId());
    check_declared_name(topic.name);
    if (!insert_topic(registry, declaration_of(topic)))
        throw Error(ERRCODE_DUPLICATE_OBJECT, "topic \"" + topic.name + "\" already exists");
}

void alter_query_topic(const Registry &registry, const QueryTopic &topic) {
    alter_topic(registry, declaration_of(topic), std::nullopt);
}

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_create_topic) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        check_may_create(GetUserId());
        TopicDeclaration topic = read_declaration(arguments);
        if (insert_topic(Registry(arguments.function()), topic))
            return 0;
        std::string message = "topic \"" + topic.name + "\" already exists";
        if (!arguments.boolean(kIfNotExists, false))
            throw Error(ERRCODE_DUPLICATE_OBJECT, message, {},
                        "Change it with rtd_alter_topic(), or say if_not_exists => true.");
        notice(message + ", skipping");
        return 0;
    });
}

RTD_FUNCTION(rtd_alter_topic) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        TopicDeclaration change = read_declaration(arguments);
        std::optional<Oid> owner;
        if (arguments.has(kOwner))
            owner = arguments.oid(kOwner);
        alter_topic(Registry(arguments.function()), change, owner);
        return 0;
    });
}

RTD_FUNCTION(rtd_drop_topic) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        drop_topic(Registry(arguments.function()),
                   arguments.needed_text(0, "the name of the topic"), arguments.boolean(1, false));
        return 0;
    });
}

// At the end of the install script, so that a running hub notices the extension.
RTD_FUNCTION(rtd_catalog_changed) {
    (void)fcinfo;
    return enter([]() -> Datum {
        note_catalog_change();
        return 0;
    });
}
