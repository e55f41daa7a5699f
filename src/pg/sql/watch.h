// Watches: tables whose changes are events of a topic. What topics need to know of them; the SQL
// functions are in watch.cpp, the columns in watch_columns.h, the trigger in trigger.cpp.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>

#include "pg/registry/registry.h"
#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// What rtd_watch_table() is told; what is not set has the default.
struct WatchOptions {
    Oid relation = InvalidOid;
    std::optional<std::string> topic;
    std::optional<TextList> columns, parameters;
    TextList operations = {"INSERT", "UPDATE", "DELETE", "TRUNCATE"};
    std::optional<std::string> condition, channel;
    bool audit = false;
};
// As the caller, with all checks; replaces an earlier watch of the table into the topic.
void watch_table(const Registry &registry, const WatchOptions &options);

// Removes triggers and rows of every watch into the topic.
void drop_watches_of(const Registry &registry, const std::string &topic);
// Makes every backend read the topic's watches again, after this transaction commits.
void forget_watches_of(const Registry &registry, const std::string &topic);

} // namespace rtd::pg
