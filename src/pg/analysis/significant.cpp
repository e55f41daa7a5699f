#include "pg/analysis/significant.h"

#include "pg/server/boundary.h"
#include "pg/server/catalog_names.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "utils/fmgrprotos.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
}

namespace rtd::pg {

namespace {

struct Signature {
    bool exists;
    bool fits;
    const char *name; // with its argument types
};

Signature signature_of(Oid function) {
    return call([&] {
        HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
        if (!HeapTupleIsValid(tuple))
            return Signature{false, false, nullptr};
        auto *form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
        bool fits = form->prokind == PROKIND_FUNCTION && !form->proretset &&
                    form->prorettype == BOOLOID && form->pronargs == 2 &&
                    form->proargtypes.values[0] == JSONBOID &&
                    form->proargtypes.values[1] == JSONBOID;
        ReleaseSysCache(tuple);
        return Signature{true, fits, format_procedure(function)};
    });
}

} // namespace

void check_significant(Oid function, Oid role) {
    Signature signature = signature_of(function);
    if (!signature.exists)
        throw Error(ERRCODE_UNDEFINED_FUNCTION,
                    "the function with OID " + std::to_string(function) +
                        " that significant names does not exist",
                    {}, "Name another one with rtd_alter_topic(), or significant => '-' for none.");
    if (!signature.fits)
        throw Error(ERRCODE_INVALID_FUNCTION_DEFINITION,
                    std::string("significant must name a function (jsonb, jsonb) that returns "
                                "boolean, not ") +
                        signature.name,
                    "It is called with the last state sent and the new one.");
    if (!call([&] { return RTD_MAY_EXECUTE(function, role); }))
        throw Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                    std::string("permission denied for function ") + signature.name,
                    std::string("The query and its significant function run as role \"") +
                        call([&] { return GetUserNameFromId(role, false); }) + "\".",
                    "GRANT EXECUTE on the function to that role.");
}

Oid significant_named(const std::string &name) {
    Oid function = comparison_named(name);
    if (!OidIsValid(function))
        throw Error(ERRCODE_UNDEFINED_FUNCTION,
                    "function " + name + "(jsonb, jsonb) does not exist",
                    "The topic names it as significant.",
                    "Name another one with rtd_alter_topic(), or significant => '-' for none.");
    return function;
}

bool is_significant(const std::string &name, const std::string &last_message, Datum state) {
    Oid function = significant_named(name);
    check_significant(function, GetUserId());
    return call([&] {
        Datum message = DirectFunctionCall1(jsonb_in, CStringGetDatum(last_message.c_str()));
        Datum old = DirectFunctionCall2(jsonb_object_field, message, CStringGetTextDatum("data"));
        if (DatumGetBool(DirectFunctionCall2(jsonb_eq, old, state)))
            return false;
        FmgrInfo callee;
        fmgr_info(function, &callee);
        LOCAL_FCINFO(fcinfo, 2);
        InitFunctionCallInfoData(*fcinfo, &callee, 2, InvalidOid, nullptr, nullptr);
        fcinfo->args[0] = {old, false};
        fcinfo->args[1] = {state, false};
        Datum answer = FunctionCallInvoke(fcinfo);
        return fcinfo->isnull || DatumGetBool(answer);
    });
}

} // namespace rtd::pg
