#include "pg/store/retained.h"

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

} // namespace

void store_retained(const std::string &schema, const std::vector<RetainedMessage> &messages) {
    // A topic that was dropped meanwhile takes its message along.
    std::string sql = "INSERT INTO " + schema +
                      ".rtd_retained (topic, params, message) "
                      "SELECT name, $2::text[], $3 FROM " +
                      schema +
                      ".rtd_topic WHERE name = $1 "
                      "ON CONFLICT (topic, params) DO UPDATE SET message = excluded.message";
    for (const RetainedMessage &message : messages) {
        std::optional<Error> failure = attempt([&] {
            run_sql(sql, {message.topic, array_literal(message.params), message.message}, false);
        });
        if (failure && !is_about_message(*failure))
            throw *failure;
        if (failure)
            report(WARNING,
                   "the retained message of an instance of topic \"" + message.topic +
                       "\" cannot be stored: " + failure->message(),
                   "It is retained until rtd's hub ends.");
    }
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
