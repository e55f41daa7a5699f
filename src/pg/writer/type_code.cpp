#include "pg/writer/type_code.h"

#include "pg/server/as_owner.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace rtd::pg {

namespace {

constexpr int kMostNesting = 10;

Oid owner_of_type(Oid type) {
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
    if (!HeapTupleIsValid(tuple))
        return InvalidOid;
    Oid owner = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typowner;
    ReleaseSysCache(tuple);
    return superuser_arg(owner) ? InvalidOid : owner;
}

Oid find_owner(Oid type, int nesting);

Oid find_owner_in_row(Oid type, int nesting) {
    TupleDesc columns = lookup_rowtype_tupdesc_copy(type, -1);
    Oid owner = InvalidOid;
    for (int i = 0; i < columns->natts && !OidIsValid(owner); i++)
        if (!TupleDescAttr(columns, i)->attisdropped)
            owner = find_owner(TupleDescAttr(columns, i)->atttypid, nesting + 1);
    return owner;
}

Oid find_owner(Oid type, int nesting) {
    type = getBaseType(type);
    if (type < FirstNormalObjectId || nesting > kMostNesting)
        return InvalidOid; // the server's own
    Oid function = InvalidOid;
    if (find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &function) == COERCION_PATH_FUNC)
        return owner_of_type(type);
    if (Oid element = get_element_type(type); OidIsValid(element))
        return find_owner(element, nesting + 1);
    return type_is_rowtype(type) ? find_owner_in_row(type, nesting) : InvalidOid;
}

} // namespace

Oid owner_of_json_code(Oid type) {
    return find_owner(type, 0);
}

Datum json_as_owner(FmgrInfo *to_json, Datum value, Oid owner) {
    Oid caller = InvalidOid;
    int context = 0;
    GetUserIdAndSecContext(&caller, &context);
    int nest_level = NewGUCNestLevel();
    SetUserIdAndSecContext(owner, context | kAsOthersCode);
    (void)set_config_option("search_path", kOwnSearchPath, PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
    Datum json = FunctionCall1(to_json, value);
    AtEOXact_GUC(false, nest_level);
    SetUserIdAndSecContext(caller, context);
    return json;
}

} // namespace rtd::pg
