// See catalog_object.h. Runs in backends, inside a transaction.
#include "pg/ddl/catalog_object.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"
}

namespace rtd::pg {

namespace {

// What the server's rules allow inside call(): no destructors.
struct Found {
    Concern concern;
    const char *name;
    bool is_table;
};

bool is_temporary(Oid schema) {
    return isAnyTempNamespace(schema);
}

Concern if_new(bool is_new) {
    return is_new ? Concern::those_who_name_it : Concern::everybody;
}

Found describe_relation(Oid oid, bool is_new) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(oid));
    if (!HeapTupleIsValid(tuple))
        return {Concern::none, nullptr, false};
    auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    Found found{Concern::none, pstrdup(NameStr(form->relname)), false};
    if (form->relpersistence != RELPERSISTENCE_TEMP && !is_temporary(form->relnamespace)) {
        switch (form->relkind) {
        case RELKIND_RELATION:
        case RELKIND_PARTITIONED_TABLE:
        case RELKIND_FOREIGN_TABLE:
        case RELKIND_MATVIEW:
            found.concern = Concern::those_who_name_it;
            found.is_table = true;
            break;
        case RELKIND_VIEW:
        case RELKIND_COMPOSITE_TYPE:
            found.concern = if_new(is_new);
            break;
        default:
            break;
        }
    }
    ReleaseSysCache(tuple);
    return found;
}

Found describe_function(Oid oid, bool is_new) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
    if (!HeapTupleIsValid(tuple))
        return {Concern::none, nullptr, false};
    auto *form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
    Found found{is_temporary(form->pronamespace) ? Concern::none : if_new(is_new),
                pstrdup(NameStr(form->proname)), false};
    ReleaseSysCache(tuple);
    return found;
}

// Row types come and go with their tables, array types with their elements.
Found describe_type(Oid oid, bool is_new) {
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(oid));
    if (!HeapTupleIsValid(tuple))
        return {Concern::none, nullptr, false};
    auto *form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
    bool matters = form->typtype != TYPTYPE_COMPOSITE && form->typcategory != TYPCATEGORY_ARRAY &&
                   !is_temporary(form->typnamespace);
    Found found{matters ? if_new(is_new) : Concern::none, pstrdup(NameStr(form->typname)), false};
    ReleaseSysCache(tuple);
    return found;
}

// A rule is its relation's: that of a view says what the view shows.
Found describe_rule(Oid oid, const std::set<Oid> &made) {
    Relation rules = table_open(RewriteRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
    SysScanDesc scan = systable_beginscan(rules, RewriteOidIndexId, true, nullptr, 1, &key);
    HeapTuple tuple = systable_getnext(scan);
    Oid relation = HeapTupleIsValid(tuple)
                       ? reinterpret_cast<Form_pg_rewrite>(GETSTRUCT(tuple))->ev_class
                       : InvalidOid;
    systable_endscan(scan);
    table_close(rules, AccessShareLock);
    if (!OidIsValid(relation))
        return {Concern::none, nullptr, false};
    return describe_relation(relation, made.contains(relation));
}

} // namespace

bool may_concern_queries(Oid class_id, bool is_made) {
    switch (class_id) {
    case RelationRelationId:
    case RewriteRelationId:
    case ProcedureRelationId:
    case TypeRelationId:
    case OperatorRelationId:
    case CastRelationId:
    case CollationRelationId:
    case PolicyRelationId:
    case TSConfigRelationId:
    case TSDictionaryRelationId:
        return true;
    case NamespaceRelationId: // a new one is empty
        return !is_made;
    default:
        return false;
    }
}

bool object_exists(Oid class_id, Oid oid) {
    return call([&] {
        switch (class_id) {
        case RelationRelationId:
            return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(oid));
        case ProcedureRelationId:
            return SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(oid));
        case TypeRelationId:
            return SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(oid));
        default:
            return true;
        }
    });
}

CatalogObject describe_object(Oid class_id, Oid oid, const std::set<Oid> &made) {
    bool is_new = made.contains(oid);
    Found found = call([&]() -> Found {
        switch (class_id) {
        case RelationRelationId:
            return describe_relation(oid, is_new);
        case RewriteRelationId:
            return describe_rule(oid, made);
        case ProcedureRelationId:
            return describe_function(oid, is_new);
        case TypeRelationId:
            return describe_type(oid, is_new);
        case NamespaceRelationId:
            return {is_temporary(oid) ? Concern::none : Concern::everybody, nullptr, false};
        default:
            return {Concern::everybody, nullptr, false};
        }
    });
    return {found.concern, found.name != nullptr ? found.name : "", found.is_table,
            class_id != ProcedureRelationId};
}

} // namespace rtd::pg
