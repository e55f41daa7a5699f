// How topics come to be and change: rtd_create_topic(), rtd_alter_topic() and rtd_drop_topic(), and
// the same for the functions that make topics by themselves. Runs in backends.
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "pg/registry/registry.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Makes an event topic with the default options, for rtd_watch_table() without a topic.
void create_event_topic(const Registry &registry, const std::string &name);

// A topic with a query and otherwise default options, for rtd_serve_table().
struct QueryTopic {
    std::string name, query;
    std::vector<std::string> key; // empty: a state topic
    bool is_invoker = false;
};
// As rtd_create_topic() and rtd_alter_topic(), with their checks.
void create_query_topic(const Registry &registry, const QueryTopic &topic);
void alter_query_topic(const Registry &registry, const QueryTopic &topic);

} // namespace rtd::pg
