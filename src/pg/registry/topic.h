// Topics as the registry knows them: look-up, and who may do what with one.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/registry/registry.h"
#include "router/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

struct Topic {
    std::string name;
    Oid owner = InvalidOid;
    std::optional<std::string> query;
    std::string search_path;
    std::optional<ResultShape> shape;    // of a topic with a query
    std::vector<std::string> key;        // of a keyed topic
    std::vector<std::string> parameters; // their names
    std::vector<ParameterType> parameter_types;
    std::optional<std::string> significant; // name of the function
    bool retain = false;
    bool is_durable = false;
    bool is_invoker = false; // the query runs as the subscriber's role

    bool has_query() const { return query.has_value(); }
    bool is_keyed() const { return !key.empty(); }
};

// As it is committed by now, also in a repeatable read transaction.
std::optional<Topic> find_topic(const Registry &registry, const std::string &name);
// Throws if there is none.
Topic needed_topic(const Registry &registry, const std::string &name);

// The same, locked until the transaction ends against whoever changes or drops it, or what feeds
// it; the caller must be its owner. Neither events nor clients wait for the lock. It is taken
// before locks of tables, so that no two sessions wait for each other.
std::optional<Topic> lock_topic(const Registry &registry, const std::string &name);
Topic needed_locked_topic(const Registry &registry, const std::string &name);

// The caller must be the owner, a member of the owner's role, or a superuser.
void check_owner(const Topic &topic);

// The parameters of one instance in canonical form: as many as the topic has, none of them NULL.
InstanceParams checked_instance(const Topic &topic, const TextList &params);

// Reads two text[] cells: what rtd_topic has of its parameters' types.
std::vector<ParameterType> parameter_types_of(const Cell &types, const Cell &collations);

} // namespace rtd::pg
