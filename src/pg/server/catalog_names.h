// Names that the registry keeps of types, collations and functions. Their OIDs would not outlive
// pg_upgrade, which gives functions and collations new ones, nor a restored dump; so the names are
// looked up when they are used. Written and read under a search_path of pg_catalog alone: what is
// elsewhere has its schema in its name.
//
// Runs in backends, in query workers and in the hub: nothing here executes user-defined code, and
// no privilege on a schema is asked for, because whoever named the object had it.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>

#include "pg/server/prelude.h"

namespace rtd::pg {

// InvalidOid if there is no such thing any more; throws if the name is not one.
Oid type_named(const std::string &name);
Oid collation_named(const std::string &name);

// schema.name, without the argument types; nullopt if the function does not exist.
std::optional<std::string> name_of_function(Oid function);
// Quoted where that is needed.
std::optional<std::string> name_of_schema(Oid schema);
// The function of that name with two arguments of type jsonb.
Oid comparison_named(const std::string &name);

} // namespace rtd::pg
