// A table that is to be watched: open and locked, and the checks whether it can be watched and by
// the caller. For rtd_watch_table() and rtd_serve_table().
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/rel.h"
}

namespace rtd::pg {

// An open relation, locked until the transaction ends: against other DDL, if not said otherwise.
class LockedTable {
  public:
    explicit LockedTable(Oid oid, LOCKMODE mode = ShareRowExclusiveLock);
    ~LockedTable();
    LockedTable(const LockedTable &) = delete;
    LockedTable &operator=(const LockedTable &) = delete;

    Relation get() const { return relation_; }
    Oid oid() const { return RelationGetRelid(relation_); }
    std::string name() const { return RelationGetRelationName(relation_); }
    std::string schema_name() const {
        return call([&] { return get_namespace_name(RelationGetNamespace(relation_)); });
    }
    TupleDesc description() const { return RelationGetDescr(relation_); }

  private:
    Relation relation_;
};

// What a caller wants of a table, for messages.
struct WatchPurpose {
    const char *verb;                                   // "watch"
    const char *instead_of_view;                        // a hint
    const char *instead_of_materialized_view = nullptr; // null: how to tell that it was refreshed
};
inline constexpr WatchPurpose kWatch{"watch", "Watch the tables whose rows it shows."};

// Before the table is locked: it exists, and the caller has the TRIGGER privilege.
void check_may_watch(Oid relation, const WatchPurpose &purpose = kWatch);
// An ordinary or partitioned table of users.
void check_can_be_watched(const LockedTable &table, const WatchPurpose &purpose = kWatch);

// The topic of a table, unless it is named: the table's name with - for _. Throws if that is no
// topic name.
std::string topic_named_like(const LockedTable &table);
// The same of a table that is not locked yet, unchecked: for the lock of the topic, which comes
// first.
std::string likely_topic_of(Oid table);

// The table's columns, for messages.
std::string columns_of(TupleDesc description);

} // namespace rtd::pg
