// What the hub knows of a topic: the row of rtd_topic, as its router needs it.
#pragma once
#include "core/fence.h"
#include "core/link.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace rtd {

// What the data of a state is, whatever the number of rows.
enum class ResultShape : uint8_t {
    rows,  // an array with an object for each row
    value, // the query's one column, as it is; null without a row
};

// A parameter's type, as the topic's query or its watches have it.
struct ParameterType {
    uint32_t type = 0;      // OID; 0: text
    uint32_t collation = 0; // by which its values are equal; 0: the type's own rule
    // False: the query does not just ask which values are equal to it, so an event may concern
    // instances with any value.
    bool is_matched = true;

    bool operator==(const ParameterType &) const = default;
};

// The parameters of one instance.
struct InstanceParams {
    std::vector<std::string> texts; // in canonical form
    // What finds the instance where equal values may have several texts; empty: the texts do.
    std::vector<std::string> match = {};

    const std::vector<std::string> &name() const { return match.empty() ? texts : match; }
};

struct Topic {
    std::string name;
    link::TopicKind kind = link::TopicKind::event;
    uint32_t owner = 0; // role OID: the query runs as this role
    std::string query;
    std::string search_path;
    ResultShape shape = ResultShape::rows;
    std::vector<std::string> key; // columns of the query that tell its rows apart; of a keyed topic
    std::vector<std::string> parameters;
    std::vector<ParameterType> parameter_types; // of as many as are known
    std::string type;
    int64_t throttle_ms = 0;
    int64_t debounce_ms = 0;
    int64_t refresh_ms = 0;  // 0: no timer
    bool is_invoker = false; // the query runs as the subscriber's role, not the owner's
    std::string significant; // name of (old jsonb, new jsonb) returns boolean; empty: none
    bool retain = false;
    int64_t history = 0; // how many messages an instance keeps for those who resume
    bool is_durable = false;
    uint64_t version = 0;    // rises with every rtd_alter_topic()
    uint64_t generation = 0; // differs between a dropped topic and its namesake

    // Whether those who subscribe to one may go on with the other, its later version: the same
    // instances, told in the same terms.
    bool same_instances(const Topic &other) const {
        return generation == other.generation && kind == other.kind &&
               parameters == other.parameters && key == other.key &&
               is_invoker == other.is_invoker && is_durable == other.is_durable;
    }
    // Whether a result of one's query may be sent as the other's.
    bool same_results(const Topic &other) const {
        return query == other.query && search_path == other.search_path && type == other.type &&
               shape == other.shape;
    }
};

// By name. Shared with running instances, so that a reload does not pull a topic away under them.
using Topics = std::map<std::string, std::shared_ptr<const Topic>, std::less<>>;

} // namespace rtd
