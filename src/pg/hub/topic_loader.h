// Catalog: what the hub reads from the extension's tables after every committed change of them.
#pragma once
#include "pg/hub/notification_listener.h"
#include "router/topic.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace rtd::pg {

// What tells later whether rows came, changed or went.
struct CatalogMarks {
    uint64_t oldest_xid = 0; // whatever it did not see has this transaction id or a later one
    size_t topics = 0, grants = 0, channels = 0;
};

struct Catalog {
    std::string schema; // of the extension, quoted; empty: the extension does not exist
    Topics topics;
    std::vector<Channel> channels;
    // (topic, role OID) of every grant. Membership of roles is asked when it matters.
    using Grants = std::set<std::pair<std::string, uint32_t>>;
    Grants subscribe_grants, publish_grants;

    CatalogMarks marks;

    bool is_durable(const std::string &topic) const {
        auto found = topics.find(topic);
        return found != topics.end() && found->second->is_durable;
    }
};

// What came or changed since.
struct CatalogChange {
    std::vector<std::shared_ptr<const Topic>> topics;
    Catalog::Grants subscribe_grants, publish_grants;
    CatalogMarks marks;
};

// Each in a transaction of its own.
// The version of the extension in this database; empty if there is none.
std::string extension_version();
Catalog load_catalog();
// Reads only rows that changed since `known` was loaded, so that a new topic among ten thousand
// costs what it is. nullopt: that does not tell all, because a row went, a channel changed or a row
// was not written by rtd's functions.
std::optional<CatalogChange> load_change(const Catalog &known);

} // namespace rtd::pg
