// Catalog: what the hub reads from the extension's tables after every committed change of them.
#pragma once
#include "pg/hub/notification_listener.h"
#include "router/topic.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace rtd::pg {

struct Catalog {
    std::string schema; // of the extension, quoted; empty: the extension does not exist
    Topics topics;
    std::vector<Channel> channels;
    // (topic, role OID) of every grant. Membership of roles is asked when it matters.
    using Grants = std::set<std::pair<std::string, uint32_t>>;
    Grants subscribe_grants, publish_grants;

    bool is_durable(const std::string &topic) const {
        auto found = topics.find(topic);
        return found != topics.end() && found->second->is_durable;
    }
};

// In a transaction of its own.
Catalog load_catalog();

} // namespace rtd::pg
