// A topic's query on its way to a query worker and back.
#pragma once
#include "core/fence.h"
#include "router/dirty_keys.h"
#include "router/identity.h"
#include "router/keyed_rows.h"
#include "router/topic.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rtd {

// A query that should run now. Self-contained: a query worker needs no catalog.
struct QueryJob {
    uint64_t instance = 0;
    std::shared_ptr<const Topic> topic;
    std::vector<std::string> params;
    Identity identity = {};        // of an invoker topic: runs as this role
    KeySelection selection = {};   // of a keyed topic
    std::string last_message = {}; // for the topic's significant function: the last state sent
};

struct QueryOutcome {
    // bad_parameter and forbidden are the subscribers' own fault: they are told and closed. locked:
    // somebody else has a lock that the query needs.
    enum class Status : uint8_t { ok, failed, bad_parameter, forbidden, locked };
    Status status = Status::failed;
    std::string text;  // the result as jsonb text, or the error as a sentence
    uint64_t hash = 0; // of the result as jsonb: equal for equal values
    int64_t elapsed_us = 0;
    bool is_significant = true; // false: the topic's function says so, about job and result
    std::string warning = {};   // why that function failed, as a sentence
    std::string sqlstate = {};  // of a failed query; empty if it is not the query that failed
    std::string altered =
        {}; // what of the result had to be spelled out, as a clause; empty: nothing

    // Of a keyed topic.
    std::vector<KeyedRow> rows = {};
    bool has_all = false; // `rows` are all rows there are
    // More can be read in the same snapshot, and must be if changes that it shows came to be known
    // since the query started: see keyed_instance.h.
    bool is_open = false;
};

} // namespace rtd
