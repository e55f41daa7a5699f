#include "pg/server/catalog_names.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
}

namespace rtd::pg {

namespace {

// to_regtype() and its like return NULL for what does not exist.
Oid look_up(PGFunction function, const std::string &name) {
    return call([&] {
        LOCAL_FCINFO(fcinfo, 1);
        InitFunctionCallInfoData(*fcinfo, nullptr, 1, InvalidOid, nullptr, nullptr);
        fcinfo->args[0] = {CStringGetTextDatum(name.c_str()), false};
        Datum found = function(fcinfo);
        return fcinfo->isnull ? InvalidOid : DatumGetObjectId(found);
    });
}

} // namespace

Oid type_named(const std::string &name) {
    return look_up(to_regtype, name);
}

Oid collation_named(const std::string &name) {
    return look_up(to_regcollation, name);
}

std::optional<std::string> name_of_function(Oid function) {
    const char *name = call([&]() -> const char * {
        HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
        if (!HeapTupleIsValid(tuple))
            return nullptr;
        auto *form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
        const char *schema = get_namespace_name(form->pronamespace);
        const char *qualified = schema != nullptr
                                    ? quote_qualified_identifier(schema, NameStr(form->proname))
                                    : nullptr;
        ReleaseSysCache(tuple);
        return qualified;
    });
    return name != nullptr ? std::optional<std::string>(name) : std::nullopt;
}

std::optional<std::string> name_of_schema(Oid schema) {
    const char *name = call([&]() -> const char * {
        const char *found = get_namespace_name(schema);
        return found != nullptr ? quote_identifier(found) : nullptr;
    });
    return name != nullptr ? std::optional<std::string>(name) : std::nullopt;
}

Oid comparison_named(const std::string &name) {
    return call([&]() -> Oid {
        List *parts = NIL;
        if (!SplitIdentifierString(pstrdup(name.c_str()), '.', &parts) || list_length(parts) != 2)
            ereport(ERROR,
                    (errcode(ERRCODE_INVALID_NAME),
                     errmsg("\"%s\" is not the name of a function with its schema", name.c_str())));
        Oid schema = get_namespace_oid(static_cast<const char *>(linitial(parts)), true);
        if (!OidIsValid(schema))
            return InvalidOid;
        const Oid arguments[] = {JSONBOID, JSONBOID};
        return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
                               CStringGetDatum(static_cast<const char *>(lsecond(parts))),
                               PointerGetDatum(buildoidvector(arguments, 2)),
                               ObjectIdGetDatum(schema));
    });
}

} // namespace rtd::pg
