// Retained messages: the newest message of each instance of a retained event topic, in the table
// rtd_retained, of so many instances of a topic as rtd.max_retained_messages says; those that were
// written longest ago go. Written behind by a query worker, and by the hub when it shuts down; read
// by the hub when the first subscriber of an instance comes. All inside in_transaction().
#pragma once
#include "router/router.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rtd::pg {

struct StoredRetained {
    std::vector<std::string> bounded; // topics of which older messages went
    std::set<std::string> locked;     // topics of which nothing was stored: somebody is at them
};
// `schema` is the extension's schema, quoted. Keeps the `most` newest of each topic that it writes.
StoredRetained store_retained(const std::string &schema,
                              const std::vector<RetainedMessage> &messages, size_t most);
std::optional<std::string> load_retained(const std::string &schema, const std::string &topic,
                                         const std::vector<std::string> &params);

} // namespace rtd::pg
