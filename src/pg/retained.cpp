#include "pg/retained.h"

#include "pg/worker_transaction.h"

#include "pg/prelude.h"

namespace rtd::pg {

void store_retained(const std::string &schema, const std::vector<RetainedMessage> &messages) {
    // A topic that was dropped meanwhile takes its message along.
    std::string sql = "INSERT INTO " + schema +
                      ".rtd_retained (topic, params, message) "
                      "SELECT name, $2::text[], $3 FROM " +
                      schema +
                      ".rtd_topic WHERE name = $1 "
                      "ON CONFLICT (topic, params) DO UPDATE SET message = excluded.message";
    for (const RetainedMessage &message : messages)
        run_sql(sql, {message.topic, array_literal(message.params), message.message}, false);
}

std::optional<std::string> load_retained(const std::string &schema, const std::string &topic,
                                         const std::vector<std::string> &params) {
    std::vector<Row> rows = run_sql("SELECT message FROM " + schema +
                                        ".rtd_retained WHERE topic = $1 AND params = $2::text[]",
                                    {topic, array_literal(params)}, true);
    return rows.empty() ? std::nullopt : rows[0][0];
}

} // namespace rtd::pg
