// Code that the type of a column brings along: to_json() calls a cast to json that the owner of the
// type made, which nobody who wrote to the table has asked for.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// The role whose code to_json() would call for a value of this type, or for one inside it; none if
// that is a superuser's, which may run as anybody. Inside call().
Oid owner_of_json_code(Oid type);

// to_json() of a value, as that role. Inside call(): an abort gives role and settings back.
Datum json_as_owner(FmgrInfo *to_json, Datum value, Oid owner);

} // namespace rtd::pg
