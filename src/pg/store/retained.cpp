#include "pg/store/retained.h"

#include <set>
#include <span>

#include "core/envelope.h"
#include "pg/server/attempt.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/server/worker_transaction.h"

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

// A topic that was dropped or retains no longer takes its messages along.
void store(const std::string &schema, std::span<const RetainedMessage> messages) {
    std::vector<std::string> topics, params, texts;
    for (const RetainedMessage &message : messages) {
        topics.push_back(message.topic);
        params.push_back(array_literal(message.params));
        texts.push_back(message.message);
    }
    run_sql("INSERT INTO " + schema +
                ".rtd_retained (topic, params, message, stored_at) "
                "SELECT m.topic, m.params::text[], m.message, clock_timestamp() "
                "FROM unnest($1::text[], $2::text[], $3::text[]) "
                "WITH ORDINALITY AS m (topic, params, message, position) JOIN " +
                schema +
                ".rtd_topic t ON t.name = m.topic AND t.retain ORDER BY m.position "
                "ON CONFLICT (topic, params) DO UPDATE "
                "SET message = excluded.message, stored_at = excluded.stored_at",
            {array_literal(topics), array_literal(params), array_literal(texts)}, false);
}

// One that cannot be stored leaves the others alone.
void store_one_by_one(const std::string &schema, std::span<const RetainedMessage> messages) {
    for (const RetainedMessage &message : messages) {
        std::optional<Error> failure = attempt([&] { store(schema, {&message, 1}); });
        if (failure && !is_about_message(*failure))
            throw *failure;
        if (failure)
            report(WARNING,
                   "the retained message of an instance of topic \"" + message.topic +
                       "\" cannot be stored: " + failure->message(),
                   "It is retained until rtd's hub ends.");
    }
}

bool has_dropped_oldest(const std::string &schema, const std::string &topic, size_t most) {
    return !run_sql("DELETE FROM " + schema +
                        ".rtd_retained WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + schema +
                        ".rtd_retained WHERE topic = $1 ORDER BY stored_at DESC OFFSET " +
                        std::to_string(most) + ")) RETURNING 1",
                    {topic}, false)
                .empty();
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

std::vector<std::string> store_retained(const std::string &schema,
                                        const std::vector<RetainedMessage> &messages, size_t most) {
    std::span<const RetainedMessage> rest = messages;
    while (!rest.empty()) {
        std::span<const RetainedMessage> portion = rest.first(portion_of(rest));
        rest = rest.subspan(portion.size());
        std::optional<Error> failure = attempt([&] { store(schema, portion); });
        if (failure && !is_about_message(*failure))
            throw *failure;
        if (failure)
            store_one_by_one(schema, portion);
    }
    std::set<std::string> topics;
    for (const RetainedMessage &message : messages)
        topics.insert(message.topic);
    std::vector<std::string> bounded;
    for (const std::string &topic : topics)
        if (has_dropped_oldest(schema, topic, most))
            bounded.push_back(topic);
    return bounded;
}

std::optional<std::string> load_retained(const std::string &schema, const std::string &topic,
                                         const std::vector<std::string> &params) {
    // Nothing that is larger than a message can be: the hub has to hold it.
    std::string most =
        std::to_string(size_t{2} * 1024 * static_cast<size_t>(max_message_kilobytes));
    std::vector<Row> rows =
        run_sql("SELECT CASE WHEN octet_length(message) <= " + most + " THEN message END FROM " +
                    schema + ".rtd_retained WHERE topic = $1 AND params = $2::text[]",
                {topic, array_literal(params)}, true);
    if (rows.empty())
        return std::nullopt;
    std::optional<std::string> &message = rows[0][0];
    if (message && is_json(*message) && is_message_of(*message, topic))
        return std::move(message);
    report(WARNING, "the retained message of topic \"" + topic + "\" is not valid",
           "It is in rtd_retained, was not written by rtd, and counts as none.");
    return std::nullopt;
}

} // namespace rtd::pg
