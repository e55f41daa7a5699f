// Retained messages: the newest message of each instance of a retained event topic, in the table
// rtd_retained. Written behind by a query worker, and by the hub when it shuts down; read by the
// hub when the first subscriber of an instance comes. All inside in_transaction().
#pragma once
#include "router/router.h"

#include <optional>
#include <string>
#include <vector>

namespace rtd::pg {

// `schema` is the extension's schema, quoted.
void store_retained(const std::string &schema, const std::vector<RetainedMessage> &messages);
std::optional<std::string> load_retained(const std::string &schema, const std::string &topic,
                                         const std::vector<std::string> &params);

} // namespace rtd::pg
