// Table changes: DDL on watched tables and their triggers, heard through the server's object access
// hook. Adding, renaming, retyping or dropping a column, or dropping the table, may change what a
// topic's query returns without any row being written, so it is an event that makes the topics the
// table feeds query again. Runs in the backend of whoever runs the DDL.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/prelude.h"

extern "C" {
#include "catalog/objectaccess.h"
}

namespace rtd::pg {

// Makes the topic's instances query again, once this transaction commits.
void refresh_topic(const std::string &topic);

// Called for every object access; most are none of ours.
void note_table_change(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id);

} // namespace rtd::pg
