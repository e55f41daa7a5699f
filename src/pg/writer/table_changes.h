// Table changes: DDL on watched tables and their triggers, heard through the server's object access
// hook. Adding, renaming, retyping or dropping a column, or dropping the table, may change what a
// topic's query returns without any row being written, so it is an event that makes the topics the
// table feeds query again. Runs in the backend of whoever runs the DDL.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/objectaccess.h"
}

namespace rtd::pg {

// Makes the topic's instances query again, once this transaction commits.
void refresh_topic(const std::string &topic);
// The same for the topic that a trigger feeds, if it is one of ours.
void refresh_topics_of_trigger(Oid trigger);
// The same for every topic with a query.
void refresh_all_topics();

// Called for every object access; most are none of ours.
void note_table_change(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id);

} // namespace rtd::pg
