// Watches: tables whose changes are events of a topic. What topics need to know of them; the SQL
// functions are in watch.cpp, the columns in watch_columns.h, the trigger in trigger.cpp.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/registry.h"
#include "pg/topic.h"

#include "pg/prelude.h"

namespace rtd::pg {

// Removes triggers and rows of every watch into the topic.
void drop_watches_of(const Registry &registry, const std::string &topic);
// Finds out anew for every watch into the topic which of its rows a row of the table concerns: the
// topic has another query or key.
void tell_rows_of(const Registry &registry, const Topic &topic);
// Makes every backend read the topic's watches again, after this transaction commits.
void forget_watches_of(const Registry &registry, const std::string &topic);

} // namespace rtd::pg
