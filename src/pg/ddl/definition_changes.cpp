// See definition_changes.h.
#include "pg/ddl/definition_changes.h"

#include <set>
#include <utility>

#include "pg/ddl/catalog_object.h"
#include "pg/server/attempt.h"
#include "pg/server/boundary.h"
#include "pg/server/catalog_names.h"
#include "pg/server/sql_function.h"
#include "pg/shared/shared_state.h"
#include "pg/sql/topic_definition.h"
#include "pg/writer/pending_events.h"
#include "pg/writer/table_changes.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/parallel.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
}

namespace rtd::pg {

namespace {

// Beyond so many, all topics are looked at instead.
constexpr size_t kMaxObjects = 1000;

struct Object {
    Oid class_id, oid;
    auto operator<=>(const Object &) const = default;
};

// What the running transaction did. What a rolled back savepoint did is looked at in vain.
struct Changes {
    bool any = false;
    bool everything = false;
    std::set<Object> objects; // their catalog entries are as they will be when it commits
    std::set<Oid> made;       // relations, functions and types among them that are new
    Definitions definitions;
};

// Made by the first command that needs it, so that the postmaster, which loads the library, runs
// no constructor.
Changes &changes() {
    static auto *const of_transaction = new Changes;
    return *of_transaction;
}

void forget() {
    if (changes().any)
        changes() = Changes{};
}

// Keeps what is told of, up to so many; then all topics are looked at.
template <typename Value> void keep(std::set<Value> &kept, const Value &value) {
    if (kept.size() < kMaxObjects)
        kept.insert(value);
    else
        changes().everything = true;
}

void add(const CatalogObject &object, Oid oid) {
    switch (object.concern) {
    case Concern::none:
        return;
    case Concern::those_who_name_it:
        keep(changes().definitions.names, object.name);
        if (object.is_table)
            keep(changes().definitions.tables, oid);
        break;
    case Concern::everybody:
        changes().everything = true;
    }
    changes().any = true;
    changes().definitions.moves_keys = changes().definitions.moves_keys || object.moves_keys;
}

void note_object(Object object) {
    changes().any = true;
    if (changes().objects.size() < kMaxObjects)
        changes().objects.insert(object);
    else
        note_any_definition_change();
}

// The former name of a table or column is in the catalog until the command is done.
void note_former_names(Oid table, int column) {
    const char *name = call([&] { return get_rel_name(table); });
    if (name == nullptr)
        return;
    keep(changes().definitions.names, std::string(name));
    if (column <= 0)
        return;
    const char *former =
        call([&] { return get_attname(table, static_cast<AttrNumber>(column), true); });
    if (former != nullptr && changes().definitions.columns.size() < kMaxObjects)
        changes().definitions.columns.try_emplace({table, column}, former);
}

// Where it is a function that a topic names as significant, or the schema of one.
void note_former_name(Oid class_id, Oid oid) {
    Definitions &definitions = changes().definitions;
    bool is_function = class_id == ProcedureRelationId;
    std::map<Oid, std::string> &former = is_function ? definitions.functions : definitions.schemas;
    if (former.size() >= kMaxObjects || former.contains(oid))
        return;
    std::optional<std::string> name = is_function ? name_of_function(oid) : name_of_schema(oid);
    if (name)
        former.emplace(oid, *name);
}

// What follows from DDL is written also where the transaction became read-only after it.
class MayWrite {
  public:
    MayWrite() { XactReadOnly = false; }
    ~MayWrite() { XactReadOnly = was_read_only_; }
    MayWrite(const MayWrite &) = delete;
    MayWrite &operator=(const MayWrite &) = delete;

  private:
    bool was_read_only_ = XactReadOnly;
};

void judge() {
    for (const Object &object : changes().objects) {
        if (object.class_id == TriggerRelationId)
            refresh_topics_of_trigger(object.oid);
        else
            add(describe_object(object.class_id, object.oid, changes().made), object.oid);
    }
    changes().objects.clear();
}

void follow() {
    MayWrite may_write;
    judge();
    Definitions &definitions = changes().definitions;
    definitions.everything = changes().everything;
    if (!definitions.everything && definitions.names.empty() && definitions.tables.empty())
        return;
    if (std::optional<Registry> registry = find_registry())
        follow_definitions(*registry, definitions);
}

void on_transaction(XactEvent what, void *) {
    if (!changes().any)
        return;
    switch (what) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE: // refused if there are clients to tell, whose events cannot be
                                 // kept
        enter([] {
            std::optional<Error> failed = attempt_with_snapshot(follow);
            if (failed)
                warn(failed->sqlstate(), "rtd could not follow the DDL: " + failed->message(),
                     failed->detail(),
                     "Call rtd_alter_topic() with the same query for the topics that it concerns.");
        });
        break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
        forget();
        break;
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_PARALLEL_ABORT:
        break;
    }
}

} // namespace

void init_definition_changes() {
    RegisterXactCallback(on_transaction, nullptr);
}

void note_definition_change(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id) {
    if (access != OAT_POST_CREATE && access != OAT_POST_ALTER && access != OAT_DROP)
        return;
    if (class_id == TriggerRelationId && access == OAT_POST_CREATE)
        return note_object({class_id, object_id}); // a clone says that a partition was attached
    if (!may_concern_queries(class_id, access == OAT_POST_CREATE))
        return;
    if (access == OAT_DROP && sub_id == 0) // its entry is still there
        return add(describe_object(class_id, object_id, changes().made), object_id);
    if (class_id == RelationRelationId && access == OAT_POST_ALTER)
        note_former_names(object_id, sub_id);
    if ((class_id == ProcedureRelationId || class_id == NamespaceRelationId) &&
        access == OAT_POST_ALTER)
        note_former_name(class_id, object_id);
    if (access == OAT_POST_CREATE && sub_id == 0 && !object_exists(class_id, object_id))
        changes().made.insert(object_id);
    note_object({class_id, object_id});
}

void note_any_definition_change() {
    changes().any = true;
    changes().everything = true;
    changes().definitions.moves_keys = true;
}

void note_changed_table(Oid table) {
    note_object({RelationRelationId, table});
}

} // namespace rtd::pg
