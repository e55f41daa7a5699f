// See registry.h. Runs in backends, inside a transaction.
#include "pg/registry/registry.h"

#include <unordered_map>

#include "pg/server/prelude.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
}

namespace rtd::pg {

Value text_value(const std::optional<std::string> &text) {
    if (!text)
        return {TEXTOID, 0, true};
    return {TEXTOID, call([&] { return CStringGetTextDatum(text->c_str()); }), false};
}

Value texts_value(const TextList &texts) {
    auto allocate = [&](size_t size) { return call([&] { return palloc(size + 1); }); };
    auto *datums = static_cast<Datum *>(allocate(texts.size() * sizeof(Datum)));
    auto *nulls = static_cast<bool *>(allocate(texts.size()));
    for (size_t i = 0; i < texts.size(); i++) {
        Value element = text_value(texts[i]);
        datums[i] = element.datum;
        nulls[i] = element.null;
    }
    int count = static_cast<int>(texts.size());
    return {TEXTARRAYOID, call([&] {
                int dimension = count, lower_bound = 1;
                if (count == 0)
                    return PointerGetDatum(construct_empty_array(TEXTOID));
                return PointerGetDatum(construct_md_array(
                    datums, nulls, 1, &dimension, &lower_bound, TEXTOID, -1, false, TYPALIGN_INT));
            }),
            false};
}

Value bytes_value(const std::string &bytes) {
    return {BYTEAOID, call([&] {
                return PointerGetDatum(
                    cstring_to_text_with_len(bytes.data(), static_cast<int>(bytes.size())));
            }),
            false};
}

Value oid_value(Oid oid, Oid type) {
    return {type, ObjectIdGetDatum(oid), false};
}
Value integer_value(int32 integer) {
    return {INT4OID, Int32GetDatum(integer), false};
}
Value boolean_value(bool boolean) {
    return {BOOLOID, BoolGetDatum(boolean), false};
}

Registry::Registry(Oid function) : owner_(InvalidOid), schema_(InvalidOid) {
    struct Home {
        Oid owner, schema;
        const char *name;
    };
    Home home = call([&] {
        HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "cache lookup failed for function %u", function);
        auto *form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
        Home found{form->proowner, form->pronamespace, nullptr};
        ReleaseSysCache(tuple);
        found.name = quote_identifier(get_namespace_name(found.schema));
        return found;
    });
    owner_ = home.owner;
    schema_ = home.schema;
    schema_name_ = home.name;
}

namespace {

// The server has a function for it, which it shows since PostgreSQL 16 only.
Oid schema_of_extension(Oid extension) {
    Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(extension));
    SysScanDesc scan = systable_beginscan(extensions, ExtensionOidIndexId, true, nullptr, 1, &key);
    HeapTuple tuple = systable_getnext(scan);
    Oid schema = HeapTupleIsValid(tuple)
                     ? reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extnamespace
                     : InvalidOid;
    systable_endscan(scan);
    table_close(extensions, AccessShareLock);
    return schema;
}

} // namespace

std::optional<Registry> find_registry() {
    Oid function = call([] {
        Oid extension = get_extension_oid("rtd", true);
        if (!OidIsValid(extension))
            return InvalidOid;
        return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("rtd_trigger"),
                               PointerGetDatum(buildoidvector(nullptr, 0)),
                               ObjectIdGetDatum(schema_of_extension(extension)));
    });
    if (!OidIsValid(function))
        return std::nullopt;
    return Registry(function);
}

Rows Registry::run(const std::string &statement, const std::vector<Value> &values) const {
    return execute(statement, values, false);
}

Rows Registry::run_fresh(const std::string &statement, const std::vector<Value> &values) const {
    return execute(statement, values, true);
}

namespace {

std::string in_schema(std::string statement, const std::string &schema) {
    for (size_t at = 0; (at = statement.find("@.", at)) != std::string::npos; at += schema.size())
        statement.replace(at, 1, schema);
    return statement;
}

// Plans live as long as the backend; the set of statements is fixed, so it does not grow.
SPIPlanPtr plan_of(const std::string &statement, std::vector<Oid> types) {
    static auto *plans = new std::unordered_map<std::string, SPIPlanPtr>();
    auto found = plans->find(statement);
    if (found != plans->end())
        return found->second;
    SPIPlanPtr plan = call([&] {
        SPIPlanPtr prepared =
            SPI_prepare(statement.c_str(), static_cast<int>(types.size()), types.data());
        if (prepared == nullptr || SPI_keepplan(prepared) != 0)
            elog(ERROR, "could not prepare \"%s\": %s", statement.c_str(),
                 SPI_result_code_string(SPI_result));
        return prepared;
    });
    plans->emplace(statement, plan);
    return plan;
}

Cell read_cell(SPITupleTable *table, uint64_t row, int column) {
    Cell cell;
    if (SPI_gettypeid(table->tupdesc, column) == TEXTARRAYOID) {
        bool null = false;
        Datum array =
            call([&] { return SPI_getbinval(table->vals[row], table->tupdesc, column, &null); });
        if (!null)
            cell.elements = elements_of(array);
        return cell;
    }
    const char *text = call([&] { return SPI_getvalue(table->vals[row], table->tupdesc, column); });
    if (text != nullptr)
        cell.text = text;
    return cell;
}

} // namespace

Rows Registry::execute(const std::string &statement, const std::vector<Value> &values,
                       bool fresh) const {
    ActingAs owner(owner_);
    SearchPath safe(kOwnSearchPath);
    std::vector<Oid> types;
    std::vector<Datum> datums;
    std::string nulls;
    for (const Value &value : values) {
        types.push_back(value.type);
        datums.push_back(value.datum);
        nulls.push_back(value.null ? 'n' : ' ');
    }
    call([] { SPI_connect(); });
    SPIPlanPtr plan = plan_of(in_schema(statement, schema_name_), types);
    call([&] {
        // run_fresh() reads only: a snapshot of its own, as foreign key checks take one.
        int code = fresh
                       ? SPI_execute_snapshot(plan, datums.data(), nulls.c_str(),
                                              GetLatestSnapshot(), InvalidSnapshot, true, false, 0)
                       : SPI_execute_plan(plan, datums.data(), nulls.c_str(), false, 0);
        if (code < 0)
            elog(ERROR, "could not run \"%s\": %s", statement.c_str(),
                 SPI_result_code_string(code));
    });
    Rows result;
    result.affected = SPI_processed;
    SPITupleTable *table = SPI_tuptable;
    for (uint64_t row = 0; table != nullptr && row < table->numvals; row++) {
        Row cells;
        for (int column = 1; column <= table->tupdesc->natts; column++)
            cells.push_back(read_cell(table, row, column));
        result.rows.push_back(std::move(cells));
    }
    call([] { SPI_finish(); });
    return result;
}

} // namespace rtd::pg
