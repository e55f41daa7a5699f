// Objects of the server's catalog, as far as a topic's query may depend on them.
#pragma once
#include "core/fence.h"

#include <set>
#include <string>

#include "pg/server/prelude.h"

namespace rtd::pg {

// Which queries may return something else when the object is made, altered or dropped.
enum class Concern : uint8_t {
    none,              // temporary objects, indexes, sequences
    those_who_name_it, // tables; and what is new, which nothing refers to yet
    everybody,         // by views and functions nobody can tell
};

struct CatalogObject {
    Concern concern = Concern::none;
    std::string name = {};
    bool is_table = false;
    bool moves_keys =
        true; // what a watch's key is derived from may be another one; not by a function
};

// Cheap, for every object access. `is_made`: it is being made, or replaced.
bool may_concern_queries(Oid class_id, bool is_made);
// For objects of the classes that have a syscache: relations, functions, types; true for others.
bool object_exists(Oid class_id, Oid oid);
// As the catalog has it now; Concern::none if it does not. `made` are objects that are new.
CatalogObject describe_object(Oid class_id, Oid oid, const std::set<Oid> &made);

} // namespace rtd::pg
