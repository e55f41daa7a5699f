// What is stored of a topic besides what its owner said, because it follows from the query and the
// catalog: derived when the topic or a watch is made, and anew here when DDL moved what the query
// depends on.
#pragma once
#include "core/fence.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// What a transaction defined anew.
struct Definitions {
    bool everything = false;     // every query may be concerned
    bool moves_keys = false;     // and what is derived from queries
    std::set<std::string> names; // what names a query that is concerned, former names included
    std::set<Oid> tables;
    std::map<std::pair<Oid, int>, std::string> columns; // of tables, with their former names
    std::map<Oid, std::string> functions;               // with their former names
    std::map<Oid, std::string> schemas;
};

// Derives anew all that follows from the topic's query and the catalog: the types of its
// parameters and the keys of its watches. A query that fails is left alone; what it needs is sure
// to be defined anew before it works again.
void rederive_topic(const Registry &registry, const Topic &topic);

// For the topics concerned: derives anew, renames the columns that a watch names, has their
// subscribers' states queried again after the commit, and warns of tables that were swapped.
void follow_definitions(const Registry &registry, const Definitions &definitions);

} // namespace rtd::pg
