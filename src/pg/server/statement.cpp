// See statement.h. Runs in backends, in the hub and in query workers, inside a transaction.
#include "pg/server/statement.h"

#include <cstring>
#include <functional>
#include <memory>
#include <unordered_map>

#include "pg/server/acting_as.h"
#include "pg/server/saved_plan.h"
#include "pg/server/setting_scope.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/bytea.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
}

namespace rtd::pg {

// ---- home ----

Home home_of(Oid function) {
    struct Found {
        Oid owner, schema;
        const char *name;
    };
    Found found = call([&] {
        HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "cache lookup failed for function %u", function);
        auto *form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
        Found home{form->proowner, form->pronamespace, nullptr};
        ReleaseSysCache(tuple);
        home.name = quote_identifier(get_namespace_name(home.schema));
        return home;
    });
    return {found.owner, found.schema, found.name};
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

// One that every version of the extension has.
Oid function_in(Oid schema) {
    return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("rtd_trigger"),
                           PointerGetDatum(buildoidvector(nullptr, 0)), ObjectIdGetDatum(schema));
}

} // namespace

std::optional<Home> find_home() {
    Oid function = call([] {
        Oid extension = get_extension_oid("rtd", true);
        return OidIsValid(extension) ? function_in(schema_of_extension(extension)) : InvalidOid;
    });
    if (!OidIsValid(function))
        return std::nullopt;
    return home_of(function);
}

Home home_in(const std::string &schema_name) {
    Oid function = call([&] {
        List *parts = NIL;
        if (!SplitIdentifierString(pstrdup(schema_name.c_str()), '.', &parts) ||
            list_length(parts) != 1)
            return InvalidOid;
        Oid schema = get_namespace_oid(static_cast<char *>(linitial(parts)), true);
        return OidIsValid(schema) ? function_in(schema) : InvalidOid;
    });
    if (!OidIsValid(function))
        throw Error(ERRCODE_UNDEFINED_OBJECT,
                    "the extension rtd is not in schema " + schema_name + " any more");
    return home_of(function);
}

// ---- settings ----

namespace {

// What the meaning of rtd's own statements depends on. In workers it is so from the start, see
// worker_settings.cpp; in a session it is set where it differs.
struct OwnSetting {
    const char *name;
    const char *value;
    bool (*differs)();
};

const OwnSetting kOwnSettings[] = {
    {"search_path", kOwnSearchPath,
     [] { return strcmp(namespace_search_path, kOwnSearchPath) != 0; }},
    {"row_security", "on", [] { return !row_security; }},
    {"DateStyle", "ISO", [] { return DateStyle != USE_ISO_DATES; }},
    {"IntervalStyle", "postgres", [] { return IntervalStyle != INTSTYLE_POSTGRES; }},
    {"bytea_output", "hex", [] { return bytea_output != BYTEA_OUTPUT_HEX; }},
    {"quote_all_identifiers", "off", [] { return quote_all_identifiers; }},
    {"array_nulls", "on", [] { return !Array_nulls; }},
    {"standard_conforming_strings", "on", [] { return !standard_conforming_strings; }},
    {"transform_null_equals", "off", [] { return Transform_null_equals; }},
};

// Or neither the registry's triggers would fire, nor its foreign keys be kept. A change makes the
// server forget the plans of the session.
const OwnSetting kTriggersFire = {"session_replication_role", "origin", [] {
                                      return SessionReplicationRole ==
                                             SESSION_REPLICATION_ROLE_REPLICA;
                                  }};

class OwnSettings {
  public:
    explicit OwnSettings(bool with_triggers) {
        for (const OwnSetting &setting : kOwnSettings)
            set(setting);
        if (with_triggers)
            set(kTriggersFire);
    }

  private:
    void set(const OwnSetting &setting) {
        if (setting.differs())
            scope_.set_for_all(setting.name, setting.value);
    }

    SettingScope scope_;
};

// ---- plans ----

struct KeptPlan {
    std::string schema_name; // that its text has
    std::vector<Oid> types;
    std::unique_ptr<SavedPlan> plan;
};

std::string in_schema(std::string sql, const std::string &schema) {
    for (size_t at = 0; (at = sql.find("@.", at)) != std::string::npos; at += schema.size())
        sql.replace(at, 1, schema);
    return sql;
}

// Made anew after the extension was, or after its schema was renamed.
bool is_of(const KeptPlan &kept, const Home &home, const std::vector<Value> &values) {
    if (kept.plan == nullptr || kept.schema_name != home.schema_name ||
        kept.types.size() != values.size())
        return false;
    for (size_t i = 0; i < values.size(); i++)
        if (kept.types[i] != values[i].type)
            return false;
    return true;
}

// Found by the text that a caller has, without a copy of it.
struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

KeptPlan &kept_plan(std::string_view sql) {
    static auto *plans = new std::unordered_map<std::string, KeptPlan, TextHash, std::equal_to<>>();
    auto found = plans->find(sql);
    return found != plans->end() ? found->second : (*plans)[std::string(sql)];
}

// Under the settings it runs with: a plan keeps the search_path it was made under.
void prepare(KeptPlan &kept, const Home &home, std::string_view sql,
             const std::vector<Value> &values) {
    if (is_of(kept, home, values))
        return;
    std::vector<Oid> types;
    for (const Value &value : values)
        types.push_back(value.type);
    kept.plan = std::make_unique<SavedPlan>(in_schema(std::string(sql), home.schema_name), types);
    kept.schema_name = home.schema_name;
    kept.types = std::move(types);
}

// ---- rows ----

Cell read_cell(const ResultSet &result, uint64 row, int column) {
    Cell cell;
    if (result.type(column) == TEXTARRAYOID) {
        bool is_null = false;
        Datum array = call([&] { return result.value(row, column, is_null); });
        if (!is_null)
            cell.elements = elements_of(array);
        return cell;
    }
    const char *text = call([&] { return result.text(row, column); });
    if (text != nullptr)
        cell.text = text;
    return cell;
}

Rows read_rows(const ResultSet &result) {
    Rows read;
    read.affected = result.count;
    if (result.columns == nullptr)
        return read;
    read.rows.resize(result.count);
    for (uint64 row = 0; row < result.count; row++)
        for (int column = 1; column <= result.columns->natts; column++)
            read.rows[row].push_back(read_cell(result, row, column));
    return read;
}

} // namespace

// ---- run ----

Rows Statement::run(const std::vector<Value> &values) const {
    return execute(values, Mode::all);
}

Rows Statement::run_fresh(const std::vector<Value> &values) const {
    return execute(values, Mode::fresh);
}

Rows Statement::append(const std::vector<Value> &values) const {
    return execute(values, Mode::append);
}

Rows Statement::execute(const std::vector<Value> &values, Mode mode) const {
    bool is_query = sql_.compare(0, 6, "SELECT") == 0;
    ActingAs owner(home_.owner);
    OwnSettings settings(mode == Mode::all && !is_query);
    std::vector<Datum> datums;
    std::string nulls;
    for (const Value &value : values) {
        datums.push_back(value.datum);
        nulls.push_back(value.null ? 'n' : ' ');
    }
    KeptPlan &kept = kept_plan(sql_);
    prepare(kept, home_, sql_, values);
    Rows rows;
    with_spi([&] {
        rows = read_rows(mode == Mode::fresh ? kept.plan->select_fresh(datums, nulls)
                                             : kept.plan->execute(datums, nulls));
    });
    return rows;
}

} // namespace rtd::pg
