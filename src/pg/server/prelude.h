// All server headers that more than one file of pg/ needs, and every difference between the
// server's versions (15 to 19). Include it last: std, core, then this.
#pragma once
#include "core/fence.h"

extern "C" {
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

// The server's headers replace these with macros; C++ wants its own.
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf
#undef vsnprintf
#undef vprintf
#undef vfprintf
#undef vsprintf
#undef strerror
#undef strerror_r
#undef gettext
#undef dgettext
#undef ngettext
#undef dngettext

#if PG_VERSION_NUM < 150000
#error "rtd needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#define RTD_MUST_OWN(class_id, object_id) object_ownercheck(class_id, object_id, GetUserId())
#define RTD_MAY_EXECUTE(function, role)                                                            \
    (object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK)
#define RTD_MAY_CREATE_IN_DATABASE(role)                                                           \
    (object_aclcheck(DatabaseRelationId, MyDatabaseId, role, ACL_CREATE) == ACLCHECK_OK)
#define RTD_CHECK_CAN_SET_ROLE(member, role) check_can_set_role(member, role)
#else
#define RTD_MAY_CREATE_IN_DATABASE(role)                                                           \
    (pg_database_aclcheck(MyDatabaseId, role, ACL_CREATE) == ACLCHECK_OK)
#define RTD_CHECK_CAN_SET_ROLE(member, role) check_is_member_of_role(member, role)
#define RTD_MUST_OWN(class_id, object_id) pg_class_ownercheck(object_id, GetUserId())
#define RTD_MAY_EXECUTE(function, role)                                                            \
    (pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK)
#endif

// Index of this process in arrays of MaxBackends elements.
#if PG_VERSION_NUM >= 170000
#define RTD_MY_PROC_NUMBER MyProcNumber
#else
#define RTD_MY_PROC_NUMBER (MyProc->pgprocno)
#endif

// The module is built with hidden visibility, and PGDLLEXPORT is empty before PostgreSQL 16.
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#define RTD_EXPORT extern "C" PGDLLEXPORT

// CreateWaitEventSet takes a resource owner instead of a memory context since PostgreSQL 17.
#if PG_VERSION_NUM >= 170000
#define RTD_WAIT_EVENT_SET_OWNER nullptr
#else
#define RTD_WAIT_EVENT_SET_OWNER TopMemoryContext
#endif

// Walkers of expression trees are declared without arguments before PostgreSQL 16.
#if PG_VERSION_NUM >= 160000
#define RTD_WALKER(walker) walker
#else
#define RTD_WALKER(walker) reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(walker))
#endif

// Columns that a query groups by are those of a range table entry of their own since PostgreSQL 18.
#if PG_VERSION_NUM >= 180000
#define RTD_GROUP_EXPRESSIONS(entry) ((entry)->groupexprs)
#endif

// Bytes that the notification queue holds: a setting in pages since PostgreSQL 17. (The user
// includes commands/async.h.)
#if PG_VERSION_NUM >= 170000
#define RTD_NOTIFY_QUEUE_BYTES (static_cast<uint64>(max_notify_queue_pages) * BLCKSZ)
#else
#define RTD_NOTIFY_QUEUE_BYTES (static_cast<uint64>(0x10000) * 32 / 2 * BLCKSZ)
#endif

// A process's own locks are in lists of another kind since PostgreSQL 16. (The user includes
// storage/proc.h.) Both kinds are circles of links.
#if PG_VERSION_NUM >= 160000
#define RTD_OWN_LOCKS(part) (&MyProc->myProcLocks[part].head)
#else
#define RTD_OWN_LOCKS(part) (&MyProc->myProcLocks[part])
#endif

// Intervals have infinities since PostgreSQL 17.
#if PG_VERSION_NUM >= 170000
#define RTD_INTERVAL_IS_FINITE(interval) (!INTERVAL_NOT_FINITE(interval))
#else
#define RTD_INTERVAL_IS_FINITE(interval) ((interval) != nullptr)
#endif
