// Definition changes: DDL on what topics' queries depend on, and on tables that are watched. Noted
// while the transaction runs, looked at once when it commits, when the catalog is as it will be.
// Runs in the backend of whoever runs the DDL.
//
//   note    The server's object access hook tells of every object that is made, altered or dropped.
//           Temporary objects, indexes and sequences concern no topic and are forgotten at once.
//   judge   A table, or something new, concerns the topics that it is watched into and those whose
//           query has its name in it. Anything else (a view or function replaced, a type, a policy,
//           a schema) may concern every query: a function's body says what it reads only when it
//           runs.
//   follow  What is stored about the topics concerned is derived anew (topic_definition.h), the
//           query workers forget their plans, and those who subscribe get the state anew.
//
// DDL never fails because of rtd: what cannot be followed is a WARNING.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/objectaccess.h"
}

namespace rtd::pg {

// Registers the transaction callback. Called once per backend, while preloading.
void init_definition_changes();

// Called for every object access; most are none of ours.
void note_definition_change(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id);
// DDL of which the hook does not tell enough.
void note_any_definition_change();
void note_changed_table(Oid table);

} // namespace rtd::pg
