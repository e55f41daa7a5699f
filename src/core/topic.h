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

struct Topic {
    std::string name;
    link::TopicKind kind = link::TopicKind::event;
    uint32_t owner = 0; // role OID: the query runs as this role
    std::string query;
    std::string search_path;
    std::vector<std::string> key; // columns of the query that tell its rows apart; of a keyed topic
    std::vector<std::string> parameters;
    std::string type;
    int64_t throttle_ms = 0;
    int64_t debounce_ms = 0;
    int64_t refresh_ms = 0;   // 0: no timer
    bool is_invoker = false;  // the query runs as the subscriber's role, not the owner's
    uint32_t significant = 0; // OID of (old jsonb, new jsonb) returns boolean; 0: none
    bool retain = false;
    int64_t history = 0; // how many messages an instance keeps for those who resume
    bool is_durable = false;
    uint64_t version = 0;    // rises with every rtd_alter_topic()
    uint64_t generation = 0; // differs between a dropped topic and its namesake

    bool same_definition(const Topic &other) const {
        return version == other.version && generation == other.generation;
    }
};

// By name. Shared with running instances, so that a reload does not pull a topic away under them.
using Topics = std::map<std::string, std::shared_ptr<const Topic>, std::less<>>;

} // namespace rtd
