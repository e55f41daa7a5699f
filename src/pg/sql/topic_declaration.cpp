// See topic_declaration.h.
#include "pg/sql/topic_declaration.h"

#include <algorithm>

#include "core/names.h"
#include "pg/analysis/significant.h"
#include "pg/server/catalog_names.h"

#include "pg/server/prelude.h"

extern "C" {
#include "common/int.h"
#include "utils/timestamp.h"
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

std::vector<std::string> checked_key(const TextList &columns) {
    std::vector<std::string> key;
    for (const std::optional<std::string> &column : columns) {
        if (!column)
            throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "a column of the key must not be null");
        key.push_back(*column);
    }
    return key;
}

SignificantFunction significant_function(Oid oid) {
    return {oid, OidIsValid(oid) ? name_of_function(oid) : std::nullopt};
}

// ---- what goes together ----

void check_security(const TopicDeclaration &topic) {
    if (topic.is_invoker() && !topic.has_query())
        throw invalid("security => 'invoker' needs a query",
                      "It says as whom the query runs; an event is sent as it is.",
                      "rtd_grant() says who may subscribe.");
}

void check_refresh(const TopicDeclaration &topic) {
    if (topic.refresh_usec.value_or(0) > 0 && !topic.has_query())
        throw invalid("refresh needs a query", "A topic without a query has nothing to re-query.",
                      "Give the topic a query, or leave refresh out.");
}

void check_key(const TopicDeclaration &topic) {
    if (topic.is_keyed() && !topic.has_query())
        throw invalid("key needs a query", "It names columns of the query's result.",
                      "Give the topic a query, or leave key out.");
}

void check_durable(const TopicDeclaration &topic) {
    if (topic.is_durable() && topic.has_query())
        throw invalid("a topic with a query cannot be durable",
                      "Its messages are states: whoever comes back gets the present one.",
                      "Leave out query or durable.");
}

void check_declared_shape(const TopicDeclaration &topic) {
    if (topic.shape && !topic.has_query())
        throw invalid("shape needs a query", "It says what the query's result becomes.",
                      "Give the topic a query, or leave shape out.");
    if (topic.shape == "value" && topic.is_keyed())
        throw invalid("the result of a keyed topic cannot be one value",
                      "Its messages are rows, told apart by the key.", "Leave out shape or key.");
}

void check_significant_has_states(const TopicDeclaration &topic) {
    bool is_state = topic.has_query() && !topic.is_keyed();
    if (topic.significant && topic.significant->is_named() && !is_state)
        throw invalid("significant is for state topics",
                      "It compares one whole state with the next, which no other kind sends.",
                      "Leave it out, or give the topic a query without a key.");
}

// ---- as rtd_topic has it ----

// A keyed topic needs none: while its query runs, changes are collected for the next one.
int64 default_throttle_usec(const TopicDeclaration &topic) {
    return topic.has_query() && !topic.is_keyed() ? kStateThrottleUsec : 0;
}

Value key_value(const std::vector<std::string> &key) {
    Value value = texts_value(TextList(key.begin(), key.end()));
    value.null = key.empty();
    return value;
}

Value significant_value(const std::optional<SignificantFunction> &function) {
    return text_value(function ? function->name : std::nullopt);
}

Value refresh_value(int64 usec) {
    return usec != 0 ? interval_value(usec) : Value{INTERVALOID, 0, true};
}

int64 usec_of(const Cell &cell) {
    return std::stoll(cell.text.value_or("0"));
}

} // namespace

void check_declared_name(const std::string &name) {
    if (!check_topic_name(name))
        throw Error(ERRCODE_INVALID_NAME, "\"" + name + "\" is not a topic name",
                    "A topic name is kebab-case: lower-case letters and digits in groups joined by "
                    "single hyphens, at most " +
                        std::to_string(kMaxTopicNameBytes) + " bytes.",
                    "For example: planned-features.");
}

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

std::vector<std::string> TopicDeclaration::key_columns() const {
    return key.value_or(std::vector<std::string>{});
}

const char *TopicDeclaration::kind() const {
    return !has_query() ? "event" : is_keyed() ? "keyed" : "state";
}

TopicDeclaration read_declaration(const Arguments &arguments) {
    TopicDeclaration read;
    read.name = arguments.needed_text(kName, "the name of the topic");
    check_declared_name(read.name);
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
        read.significant = significant_function(arguments.oid(kSignificant));
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

TopicDeclaration stored_declaration(const Registry &registry, const Topic &topic) {
    Rows found =
        registry.run_fresh("SELECT type, history, (extract(epoch FROM throttle) * 1000000)::bigint,"
                           " (extract(epoch FROM debounce) * 1000000)::bigint,"
                           " (extract(epoch FROM coalesce(refresh, '0')) * 1000000)::bigint"
                           " FROM @.rtd_topic WHERE name = $1",
                           {text_value(topic.name)});
    const Row &row = found.rows.at(0);
    TopicDeclaration stored;
    stored.name = topic.name;
    stored.query = topic.query;
    stored.key = topic.key;
    stored.parameters = TextList(topic.parameters.begin(), topic.parameters.end());
    stored.security = topic.is_invoker ? "invoker" : "definer";
    stored.retain = topic.retain;
    stored.durable = topic.is_durable;
    if (topic.significant)
        stored.significant =
            SignificantFunction{comparison_named(*topic.significant), topic.significant};
    stored.type = row[0].text;
    stored.history = std::stoi(row[1].text.value_or("0"));
    if (int64 usec = usec_of(row[2]); usec != default_throttle_usec(stored))
        stored.throttle_usec = usec;
    stored.debounce_usec = usec_of(row[3]);
    stored.refresh_usec = usec_of(row[4]);
    return stored;
}

TopicDeclaration with_change(const TopicDeclaration &declared, const TopicDeclaration &change) {
    TopicDeclaration topic = declared;
    auto take = [](auto &option, const auto &given) {
        if (given)
            option = given;
    };
    take(topic.query, change.query);
    take(topic.type, change.type);
    take(topic.security, change.security);
    take(topic.shape, change.shape);
    take(topic.key, change.key);
    take(topic.parameters, change.parameters);
    take(topic.throttle_usec, change.throttle_usec);
    take(topic.debounce_usec, change.debounce_usec);
    take(topic.refresh_usec, change.refresh_usec);
    take(topic.significant, change.significant);
    take(topic.retain, change.retain);
    take(topic.durable, change.durable);
    take(topic.history, change.history);
    return topic;
}

void check_declaration(const TopicDeclaration &topic) {
    check_security(topic);
    check_refresh(topic);
    check_key(topic);
    check_durable(topic);
    check_declared_shape(topic);
    check_significant_has_states(topic);
}

void check_significant_function(const TopicDeclaration &topic, Oid owner) {
    if (!topic.significant || !topic.significant->is_named())
        return;
    const SignificantFunction &function = *topic.significant;
    check_significant(OidIsValid(function.oid) ? function.oid : significant_named(*function.name),
                      owner);
}

const char *const kDeclaredColumns =
    "name, kind, query, key, parameters, type, security, throttle, debounce, refresh, significant,"
    " retain, history, durable";

std::vector<Value> declared_values(const TopicDeclaration &topic) {
    return {
        text_value(topic.name),
        text_value(std::string(topic.kind())),
        text_value(topic.query),
        key_value(topic.key_columns()),
        texts_value(topic.parameters.value_or(TextList{})),
        text_value(topic.type.value_or(default_message_type(topic.name))),
        text_value(topic.security.value_or("definer")),
        interval_value(topic.throttle_usec.value_or(default_throttle_usec(topic))),
        interval_value(topic.debounce_usec.value_or(0)),
        refresh_value(topic.refresh_usec.value_or(0)),
        significant_value(topic.significant),
        boolean_value(topic.retain.value_or(true)),
        integer_value(topic.history.value_or(kDefaultHistory)),
        boolean_value(topic.is_durable()),
    };
}

} // namespace rtd::pg
