// rtd_create_topic(), rtd_alter_topic(), rtd_drop_topic(), and the checks of everything a topic is
// declared with. Runs in backends. What can be refused is refused here, with a hint, so that
// neither a writer nor the hub ever meets a topic that cannot work.
//
// A topic's query is checked as it will run: as the topic's owner, in a security-restricted
// operation, under the search_path that is stored with it.
#include "pg/sql/topic_declaration.h"

#include <algorithm>

#include "core/names.h"
#include "pg/analysis/keyed_query.h"
#include "pg/analysis/query_result.h"
#include "pg/analysis/significant.h"
#include "pg/analysis/topic_query.h"
#include "pg/registry/topic.h"
#include "pg/server/as_owner.h"
#include "pg/server/catalog_names.h"
#include "pg/server/saved_plan.h"
#include "pg/sql/parameter_types.h"
#include "pg/sql/topic_owner.h"
#include "pg/sql/watch.h"
#include "pg/sql/watch_key.h"
#include "pg/writer/pending_events.h"

#include "pg/server/prelude.h"

extern "C" {
#include "common/int.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
}

namespace rtd::pg {

namespace {

constexpr size_t kMaxMessageTypeBytes = 63;
constexpr size_t kMaxParameters = 16;
constexpr size_t kMaxParameterNameBytes = 63;
constexpr int32 kMaxHistory = 10000;
constexpr int64 kMaxIntervalUsec = 24 * USECS_PER_HOUR;
constexpr int64 kMinRefreshUsec = 100 * 1000;
constexpr int64 kStateThrottleUsec = 100 * 1000;
constexpr int32 kDefaultHistory = 100;

Error invalid(std::string message, std::string detail = {}, std::string hint = {}) {
    return Error(ERRCODE_INVALID_PARAMETER_VALUE, std::move(message), std::move(detail),
                 std::move(hint));
}

void check_name(const std::string &name) {
    if (!check_topic_name(name))
        throw Error(ERRCODE_INVALID_NAME, "\"" + name + "\" is not a topic name",
                    "A topic name is kebab-case: lower-case letters and digits in groups joined by "
                    "single hyphens, at most " +
                        std::to_string(kMaxTopicNameBytes) + " bytes.",
                    "For example: planned-features.");
}

std::vector<std::string> checked_parameter_names(const TextList &names) {
    if (names.size() > kMaxParameters)
        throw Error(ERRCODE_TOO_MANY_ARGUMENTS,
                    "a topic cannot have more than " + std::to_string(kMaxParameters) +
                        " parameters",
                    "There are " + std::to_string(names.size()) + ".");
    std::vector<std::string> checked;
    for (const std::optional<std::string> &name : names) {
        if (!name || name->empty() || name->size() > kMaxParameterNameBytes)
            throw invalid("the name of a topic parameter must have 1 to " +
                          std::to_string(kMaxParameterNameBytes) + " bytes");
        if (std::find(checked.begin(), checked.end(), *name) != checked.end())
            throw Error(ERRCODE_DUPLICATE_OBJECT,
                        "topic parameter \"" + *name + "\" is given twice");
        checked.push_back(*name);
    }
    return checked;
}

// Intervals of a topic are lengths of time, so a month, which has none, is refused.
int64 checked_interval(Datum datum, const char *option, int64 min_usec) {
    const Interval *interval = DatumGetIntervalP(datum);
    if (interval->month != 0)
        throw invalid(std::string(option) + " must not contain months or years", {},
                      "Give it in hours, minutes, seconds or milliseconds.");
    int64 usec = 0;
    if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &usec) ||
        pg_add_s64_overflow(usec, interval->time, &usec))
        usec = PG_INT64_MAX;
    if (usec < 0)
        throw invalid(std::string(option) + " must not be negative");
    if (usec > kMaxIntervalUsec)
        throw invalid(std::string(option) + " must not be longer than 24 hours");
    if (usec > 0 && usec < min_usec)
        throw invalid(std::string(option) + " must be at least " + std::to_string(min_usec / 1000) +
                          " ms",
                      {}, "0 turns it off.");
    return usec;
}

Value interval_value(int64 usec) {
    return {INTERVALOID, call([&] {
                auto *interval = static_cast<Interval *>(palloc0(sizeof(Interval)));
                interval->time = usec;
                return IntervalPGetDatum(interval);
            }),
            false};
}

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

OutputColumns check_query(const std::string &name, const std::string &query, size_t parameter_count,
                          const std::vector<std::string> &key, Oid owner,
                          const std::string &search_path) {
    TopicQuery analyzed;
    as_owner(owner, search_path, [&] {
        analyzed = analyze_topic_query(query, parameter_count);
        start_query(query, analyzed.parameter_types);
        if (!key.empty())
            check_keyed_query(name, query, parameter_count, key);
    });
    return analyzed.columns;
}

// What a topic is declared with. An option that is not set has the default in rtd_create_topic()
// and keeps its value in rtd_alter_topic().
struct Declaration {
    std::string name;
    std::optional<std::string> query, type, security, shape;
    std::optional<std::vector<std::string>> key; // empty: none
    std::optional<TextList> parameters;
    std::optional<int64> throttle_usec, debounce_usec, refresh_usec;
    std::optional<Oid> significant; // InvalidOid: none
    std::optional<bool> retain, durable;
    std::optional<int32> history;
    std::optional<Oid> owner; // rtd_alter_topic() only
};

// The arguments after the name are the same, in the same order, in both functions.
enum Argument {
    kName,
    kQuery,
    kKey,
    kParameters,
    kType,
    kSecurity,
    kThrottle,
    kDebounce,
    kRefresh,
    kSignificant,
    kRetain,
    kHistory,
    kDurable,
    kShape,
    kIfNotExists,          // rtd_create_topic() only
    kOwner = kIfNotExists, // rtd_alter_topic() only
};

std::vector<std::string> checked_key(const TextList &columns) {
    std::vector<std::string> key;
    for (const std::optional<std::string> &column : columns) {
        if (!column)
            throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "a column of the key must not be null");
        key.push_back(*column);
    }
    return key;
}

Declaration read_declaration(const Arguments &arguments) {
    Declaration read;
    read.name = arguments.needed_text(kName, "the name of the topic");
    check_name(read.name);
    read.query = arguments.text(kQuery);
    read.security = arguments.text(kSecurity);
    if (read.security && read.security != "definer" && read.security != "invoker")
        throw invalid("security must be 'definer' or 'invoker', not \"" + *read.security + "\"");
    if (std::optional<TextList> key = arguments.texts(kKey))
        read.key = checked_key(*key);
    read.parameters = arguments.texts(kParameters);
    if (read.parameters)
        checked_parameter_names(*read.parameters);
    read.type = arguments.text(kType);
    if (read.type && read.type->empty()) // the way to reset it
        read.type = default_message_type(read.name);
    if (read.type)
        check_message_type(*read.type);
    if (arguments.has(kThrottle))
        read.throttle_usec = checked_interval(arguments.datum(kThrottle), "throttle", 0);
    if (arguments.has(kDebounce))
        read.debounce_usec = checked_interval(arguments.datum(kDebounce), "debounce", 0);
    if (arguments.has(kRefresh))
        read.refresh_usec = checked_interval(arguments.datum(kRefresh), "refresh", kMinRefreshUsec);
    if (arguments.has(kSignificant))
        read.significant = arguments.oid(kSignificant);
    if (arguments.has(kRetain))
        read.retain = arguments.boolean(kRetain, true);
    if (arguments.has(kDurable))
        read.durable = arguments.boolean(kDurable, false);
    read.shape = arguments.text(kShape);
    if (read.shape && read.shape != "value" && read.shape != "rows")
        throw invalid("shape must be 'value' or 'rows', not \"" + *read.shape + "\"");
    if (arguments.has(kHistory)) {
        read.history = arguments.integer(kHistory, 0);
        if (*read.history < 0 || *read.history > kMaxHistory)
            throw invalid("history must be between 0 and " + std::to_string(kMaxHistory) +
                          " messages");
    }
    return read;
}

void check_refresh_has_query(bool has_refresh, bool has_query) {
    if (has_refresh && !has_query)
        throw invalid("refresh needs a query", "A topic without a query has nothing to re-query.",
                      "Give the topic a query, or leave refresh out.");
}

void check_durable_has_no_query(bool is_durable, bool has_query) {
    if (is_durable && has_query)
        throw invalid("a topic with a query cannot be durable",
                      "Its messages are states: whoever comes back gets the present one.",
                      "Leave out query or durable.");
}

void check_security(const Declaration &topic, bool has_query) {
    if (topic.security == "invoker" && !has_query)
        throw invalid("security => 'invoker' needs a query",
                      "It says as whom the query runs; an event is sent as it is.",
                      "rtd_grant() says who may subscribe.");
}

void check_key_has_query(const std::vector<std::string> &key, bool has_query) {
    if (!key.empty() && !has_query)
        throw invalid("key needs a query", "It names columns of the query's result.",
                      "Give the topic a query, or leave key out.");
}

void check_shape_declared(const Declaration &topic, bool has_query,
                          const std::vector<std::string> &key) {
    if (topic.shape && !has_query)
        throw invalid("shape needs a query", "It says what the query's result becomes.",
                      "Give the topic a query, or leave shape out.");
    if (topic.shape == "value" && !key.empty())
        throw invalid("the result of a keyed topic cannot be one value",
                      "Its messages are rows, told apart by the key.", "Leave out shape or key.");
}

const char *kind_of(bool has_query, const std::vector<std::string> &key) {
    return !has_query ? "event" : key.empty() ? "state" : "keyed";
}

// A keyed topic needs none: while its query runs, changes are collected for the next one.
int64 default_throttle_usec(bool has_query, const std::vector<std::string> &key) {
    return has_query && key.empty() ? kStateThrottleUsec : 0;
}

Value shape_value(std::optional<ResultShape> shape) {
    return text_value(shape ? std::optional<std::string>(shape_name(*shape)) : std::nullopt);
}

Value key_value(const std::vector<std::string> &key) {
    Value value = texts_value(TextList(key.begin(), key.end()));
    value.null = key.empty();
    return value;
}

void check_significant_of(const Declaration &topic, bool is_state, Oid owner) {
    if (topic.significant.value_or(InvalidOid) == InvalidOid)
        return;
    if (!is_state)
        throw invalid("significant is for state topics",
                      "It compares one whole state with the next, which no other kind sends.",
                      "Leave it out, or give the topic a query without a key.");
    check_significant(*topic.significant, owner);
}

Value significant_value(std::optional<Oid> function) {
    return text_value(name_of_function(function.value_or(InvalidOid)));
}

Value refresh_value(std::optional<int64> usec) {
    if (!usec || *usec == 0)
        return {INTERVALOID, 0, true};
    return interval_value(*usec);
}

// False if a topic of this name exists already.
bool insert_topic(const Registry &registry, const Declaration &topic) {
    bool has_query = topic.query.has_value();
    std::vector<std::string> key = topic.key.value_or(std::vector<std::string>{});
    TextList parameters = topic.parameters.value_or(TextList{});
    bool is_invoker = topic.security == "invoker";
    check_security(topic, has_query);
    std::string search_path = stored_search_path(current_search_path(), is_invoker, GetUserId());
    check_refresh_has_query(topic.refresh_usec.value_or(0) > 0, has_query);
    check_key_has_query(key, has_query);
    check_durable_has_no_query(topic.durable.value_or(false), has_query);
    check_shape_declared(topic, has_query, key);
    if (find_topic(registry, topic.name))
        return false;
    OutputColumns columns;
    std::optional<ResultShape> shape;
    if (has_query) {
        columns =
            check_query(topic.name, *topic.query, parameters.size(), key, GetUserId(), search_path);
        shape = decide_shape(topic.name, columns, topic.shape, std::nullopt);
    }
    check_significant_of(topic, has_query && key.empty(), GetUserId());
    Rows inserted = registry.run(
        "INSERT INTO @.rtd_topic (name, kind, owner, query, search_path, parameters, type,"
        " throttle, debounce, refresh, retain, history, key, significant, security, durable,"
        " shape)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        " ON CONFLICT DO NOTHING",
        {text_value(topic.name), text_value(std::string(kind_of(has_query, key))),
         oid_value(GetUserId(), REGROLEOID), text_value(topic.query), text_value(search_path),
         texts_value(parameters), text_value(topic.type.value_or(default_message_type(topic.name))),
         interval_value(topic.throttle_usec.value_or(default_throttle_usec(has_query, key))),
         interval_value(topic.debounce_usec.value_or(0)), refresh_value(topic.refresh_usec),
         boolean_value(topic.retain.value_or(true)),
         integer_value(topic.history.value_or(kDefaultHistory)), key_value(key),
         significant_value(topic.significant), text_value(topic.security.value_or("definer")),
         boolean_value(topic.durable.value_or(false)), shape_value(shape)});
    if (inserted.affected == 0)
        return false;
    if (shape && key.empty() && !topic.shape)
        explain_shape(topic.name, columns, *shape);
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

void alter_topic(const Registry &registry, const Declaration &change) {
    Topic topic = needed_locked_topic(registry, change.name);
    Oid owner = change.owner.value_or(topic.owner);
    if (change.owner)
        check_new_owner(topic, owner);
    if (change.query && change.query->empty())
        throw invalid("a topic cannot lose its query", {},
                      "Drop the topic and create it again as an event topic.");
    bool has_query = topic.has_query() || change.query;
    check_refresh_has_query(change.refresh_usec.value_or(0) > 0, has_query);
    bool is_durable = change.durable.value_or(topic.is_durable);
    check_durable_has_no_query(is_durable, has_query);
    std::vector<std::string> key = change.key.value_or(topic.key);
    check_key_has_query(key, has_query);
    check_shape_declared(change, has_query, key);
    std::string kind = kind_of(has_query, key);
    bool becomes_other = kind != kind_of(topic.has_query(), topic.key);
    check_significant_of(change, has_query && key.empty(), owner);
    check_security(change, has_query);
    bool is_invoker = change.security ? change.security == "invoker" : topic.is_invoker;

    TextList old_parameters(topic.parameters.begin(), topic.parameters.end());
    TextList parameters = change.parameters.value_or(old_parameters);
    bool renumbers = parameters != old_parameters;
    if (renumbers)
        check_parameters_are_free(registry, topic.name);

    std::optional<std::string> query = change.query ? change.query : topic.query;
    std::string search_path = stored_search_path(
        change.query ? current_search_path() : topic.search_path, is_invoker, owner);
    bool reads_other = change.query || renumbers || key != topic.key;
    std::optional<ResultShape> shape = topic.shape;
    if (query && (reads_other || change.shape || change.owner)) {
        OutputColumns columns =
            check_query(topic.name, *query, parameters.size(), key, owner, search_path);
        if (!key.empty()) // whatever it was before
            shape = ResultShape::rows;
        else if (change.query || change.shape)
            shape = decide_shape(topic.name, columns, change.shape, topic.shape);
        if (change.query && key.empty() && !change.shape)
            explain_shape(topic.name, columns, *shape);
    }

    std::optional<int64> throttle_usec = change.throttle_usec;
    if (becomes_other && !throttle_usec)
        throttle_usec = default_throttle_usec(has_query, key);
    auto kept_or = [](std::optional<int64> usec) {
        return usec ? interval_value(*usec) : Value{INTERVALOID, 0, true};
    };
    bool forgets_retained = renumbers || becomes_other || change.retain == false;
    bool forgets_numbers = renumbers || (topic.is_durable && !is_durable);
    if (forgets_retained || forgets_numbers) // as a DROP would: see store/topic_lock.h
        registry.run("SELECT FROM @.rtd_topic WHERE name = $1 FOR UPDATE",
                     {text_value(topic.name)});
    registry.run(
        "UPDATE @.rtd_topic SET kind = $2, query = $3, search_path = $4, parameters = $5,"
        " type = coalesce($6, type), throttle = coalesce($7, throttle),"
        " debounce = coalesce($8, debounce), refresh = CASE WHEN $9 THEN $10 ELSE refresh END,"
        " retain = coalesce($11, retain), history = coalesce($12, history), key = $13,"
        " significant = CASE WHEN $14 THEN $15 ELSE significant END,"
        " security = coalesce($16, security), durable = $17, shape = $18, owner = $19,"
        " version = version + 1"
        " WHERE name = $1",
        {text_value(topic.name), text_value(kind), text_value(query), text_value(search_path),
         texts_value(parameters), text_value(change.type), kept_or(throttle_usec),
         kept_or(change.debounce_usec), boolean_value(change.refresh_usec.has_value()),
         refresh_value(change.refresh_usec),
         Value{BOOLOID, BoolGetDatum(change.retain.value_or(false)), !change.retain},
         Value{INT4OID, Int32GetDatum(change.history.value_or(0)), !change.history}, key_value(key),
         boolean_value(change.significant.has_value()), significant_value(change.significant),
         text_value(change.security), boolean_value(is_durable), shape_value(shape),
         oid_value(owner, REGROLEOID)});
    if (reads_other || change.owner) { // "$user" in the search_path is the owner
        derive_watch_keys(registry, needed_topic(registry, topic.name), key == topic.key,
                          Telling::by_notice);
        describe_parameters(registry, needed_topic(registry, topic.name));
    }
    if (forgets_retained)
        registry.run("DELETE FROM @.rtd_retained WHERE topic = $1", {text_value(topic.name)});
    // Whoever resumes must not take messages of before for what came after.
    if (forgets_numbers)
        registry.run("DELETE FROM @.rtd_durable_instance WHERE topic = $1",
                     {text_value(topic.name)});
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

Declaration declaration_of(const QueryTopic &topic) {
    Declaration declaration;
    declaration.name = topic.name;
    declaration.query = topic.query;
    declaration.key = topic.key;
    declaration.security = topic.is_invoker ? "invoker" : "definer";
    declaration.shape = shape_name(ResultShape::rows);
    return declaration;
}

} // namespace

void check_message_type(const std::string &type) {
    bool readable = !type.empty() && type.size() <= kMaxMessageTypeBytes &&
                    std::all_of(type.begin(), type.end(), [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
                               c == ':';
                    });
    if (!readable)
        throw invalid("\"" + type + "\" is not a message type",
                      "A message type has 1 to " + std::to_string(kMaxMessageTypeBytes) +
                          " letters, digits or characters of \"_-.:\".");
    if (type.rfind("rtd_", 0) == 0)
        throw invalid("message type \"" + type + "\" is reserved",
                      "Types that begin with rtd_ are control messages.");
}

void check_channel_name(const std::string &channel) {
    if (channel.empty() || channel.size() >= NAMEDATALEN)
        throw invalid("the name of a channel must have 1 to " + std::to_string(NAMEDATALEN - 1) +
                      " bytes");
}

void create_event_topic(const Registry &registry, const std::string &name) {
    check_may_create(GetUserId());
    Declaration topic;
    topic.name = name;
    check_name(name);
    insert_topic(registry, topic);
}

void create_query_topic(const Registry &registry, const QueryTopic &topic) {
    check_may_create(GetUserId());
    check_name(topic.name);
    if (!insert_topic(registry, declaration_of(topic)))
        throw Error(ERRCODE_DUPLICATE_OBJECT, "topic \"" + topic.name + "\" already exists");
}

void alter_query_topic(const Registry &registry, const QueryTopic &topic) {
    alter_topic(registry, declaration_of(topic));
}

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_create_topic) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        check_may_create(GetUserId());
        Declaration topic = read_declaration(arguments);
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
        Declaration change = read_declaration(arguments);
        if (arguments.has(kOwner))
            change.owner = arguments.oid(kOwner);
        alter_topic(Registry(arguments.function()), change);
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
