#include "pg/store/retained.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "core/envelope.h"
#include "pg/server/attempt.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/server/statement.h"
#include "pg/store/topic_lock.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace rtd::pg {

namespace {

// The next attempt would fail in the same way: parameters that no index can hold, for example.
bool is_about_message(const Error &error) {
    int category = ERRCODE_TO_CATEGORY(error.sqlstate());
    return category == ERRCODE_PROGRAM_LIMIT_EXCEEDED || category == ERRCODE_DATA_EXCEPTION ||
           category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
}

bool is_json(const std::string &text) {
    try {
        call([&] { DirectFunctionCall1(json_in, CStringGetDatum(text.c_str())); });
    } catch (const Error &) {
        return false; // what is wrong with it helps nobody
    }
    return true;
}

// A text[] as text: the server has no arrays of arrays of different lengths.
std::string array_literal(const std::vector<std::optional<std::string>> &elements) {
    std::string out = "{";
    for (const std::optional<std::string> &element : elements) {
        if (out.size() > 1)
            out += ',';
        if (!element) {
            out += "NULL";
            continue;
        }
        out += '"';
        for (char c : *element) {
            if (c == '"' || c == '\\')
                out += '\\';
            out += c;
        }
        out += '"';
    }
    return out + "}";
}

constexpr char kStore[] =
    "INSERT INTO @.rtd_retained (topic, params, message, stored_at)"
    " SELECT m.topic, m.params::text[], m.message, clock_timestamp()"
    " FROM unnest($1, $2, $3) WITH ORDINALITY AS m (topic, params, message, position)"
    " JOIN @.rtd_topic t ON t.name = m.topic AND t.retain ORDER BY m.position"
    " ON CONFLICT (topic, params) DO UPDATE"
    " SET message = excluded.message, stored_at = excluded.stored_at";

// A topic that was dropped or retains no longer takes its messages along.
void store(const Home &home, std::span<const RetainedMessage> messages) {
    std::vector<std::string> topics, params, texts;
    for (const RetainedMessage &message : messages) {
        topics.push_back(message.topic);
        params.push_back(array_literal({message.params.begin(), message.params.end()}));
        texts.push_back(message.message);
    }
    Statement(home, kStore).run({texts_value(topics), texts_value(params), texts_value(texts)});
}

// One that cannot be stored leaves the others alone.
void store_one_by_one(const Home &home, std::span<const RetainedMessage> messages) {
    for (const RetainedMessage &message : messages) {
        std::optional<Error> failure = attempt([&] { store(home, {&message, 1}); });
        if (failure && !is_about_message(*failure))
            throw *failure;
        if (failure)
            report(WARNING,
                   "the retained message of an instance of topic \"" + message.topic +
                       "\" cannot be stored: " + failure->message(),
                   "It is retained until rtd's hub ends.");
    }
}

constexpr char kDropOldest[] =
    "DELETE FROM @.rtd_retained WHERE ctid = ANY (ARRAY(SELECT ctid FROM @.rtd_retained"
    " WHERE topic = $1 ORDER BY stored_at DESC OFFSET $2))";

bool has_dropped_oldest(const Home &home, const std::string &topic, size_t most) {
    return Statement(home, kDropOldest)
               .run({text_value(topic), long_value(static_cast<int64>(most))})
               .affected > 0;
}

// One statement holds so much: its text is several times as long.
constexpr size_t kPortionBytes = 16 << 20;

size_t portion_of(std::span<const RetainedMessage> messages) {
    size_t count = 0, bytes = 0;
    while (count < messages.size() && (count == 0 || bytes < kPortionBytes))
        bytes += messages[count++].message.size();
    return count;
}

} // namespace

StoredRetained store_retained(const std::string &schema,
                              const std::vector<RetainedMessage> &messages, size_t most) {
    Home home = home_in(schema);
    std::set<std::string> topics;
    for (const RetainedMessage &message : messages)
        topics.insert(message.topic);
    StoredRetained stored;
    stored.locked = lock_topics(home, topics);
    std::vector<RetainedMessage> free;
    std::ranges::copy_if(messages, std::back_inserter(free), [&](const RetainedMessage &message) {
        return !stored.locked.contains(message.topic);
    });
    std::span<const RetainedMessage> rest = free;
    while (!rest.empty()) {
        std::span<const RetainedMessage> portion = rest.first(portion_of(rest));
        rest = rest.subspan(portion.size());
        std::optional<Error> failure = attempt([&] { store(home, portion); });
        if (failure && !is_about_message(*failure))
            throw *failure;
        if (failure)
            store_one_by_one(home, portion);
    }
    for (const std::string &topic : topics)
        if (!stored.locked.contains(topic) && has_dropped_oldest(home, topic, most))
            stored.bounded.push_back(topic);
    return stored;
}

constexpr char kLoad[] = "SELECT CASE WHEN octet_length(message) <= $3 THEN message END"
                         " FROM @.rtd_retained WHERE topic = $1 AND params = $2";

std::optional<std::string> load_retained(const std::string &schema, const std::string &topic,
                                         const std::vector<std::string> &params) {
    Home home = home_in(schema);
    // Nothing that is larger than a message can be: the hub has to hold it.
    std::vector<Row> rows = Statement(home, kLoad)
                                .run({text_value(topic), texts_value(params),
                                      long_value(int64{2} * 1024 * max_message_kilobytes)})
                                .rows;
    if (rows.empty())
        return std::nullopt;
    std::optional<std::string> &message = rows[0][0].text;
    if (message && is_json(*message) && is_message_of(*message, topic))
        return std::move(message);
    report(WARNING, "the retained message of topic \"" + topic + "\" is not valid",
           "It is in rtd_retained, was not written by rtd, and counts as none.");
    return std::nullopt;
}

} // namespace rtd::pg
