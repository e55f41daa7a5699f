#include "pg/analysis/keyed_query.h"

#include <algorithm>

#include "pg/analysis/column_lineage.h"
#include "pg/analysis/topic_query.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/pg_operator.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace rtd::pg {

struct KeyedQuery::Origins {
    std::vector<KeyOrigins> of_column;
};

namespace {

Error bad_key(int sqlstate, std::string message, std::string detail = {}, std::string hint = {}) {
    return Error(sqlstate, std::move(message), std::move(detail), std::move(hint));
}

std::string quoted(const std::string &text) {
    return "\"" + text + "\"";
}

std::string output_columns(const Query *query) {
    std::string names;
    ListCell *cell;
    foreach (cell, query->targetList) {
        auto *target = static_cast<TargetEntry *>(lfirst(cell));
        if (!target->resjunk)
            names += (names.empty() ? "" : ", ") + std::string(target->resname);
    }
    return names;
}

void check_names(const std::vector<std::string> &key) {
    if (key.empty())
        throw bad_key(ERRCODE_INVALID_PARAMETER_VALUE, "the key of a topic must name a column", {},
                      "For example: key => '{id}'.");
    if (key.size() > KeyedQuery::kMaxColumns)
        throw bad_key(ERRCODE_TOO_MANY_COLUMNS,
                      "the key of a topic cannot have more than " +
                          std::to_string(KeyedQuery::kMaxColumns) + " columns",
                      "There are " + std::to_string(key.size()) + ".");
    for (size_t i = 0; i < key.size(); i++)
        if (std::find(key.begin(), key.begin() + static_cast<ptrdiff_t>(i), key[i]) !=
            key.begin() + static_cast<ptrdiff_t>(i))
            throw bad_key(ERRCODE_DUPLICATE_COLUMN,
                          "column " + quoted(key[i]) + " is given twice in the key");
}

void check_has_rows(const Query *query) {
    if (list_length(query->targetList) != 1)
        return;
    auto *target = static_cast<TargetEntry *>(linitial(query->targetList));
    Oid type = getBaseType(exprType(reinterpret_cast<Node *>(target->expr)));
    if (type == JSONOID || type == JSONBOID)
        throw bad_key(ERRCODE_INVALID_PARAMETER_VALUE,
                      "a keyed topic's query must return rows with columns",
                      "It returns a single column of type " +
                          std::string(call([&] { return format_type_be(type); })) + ".",
                      "Select the key and the other columns instead of composing JSON.");
}

const TargetEntry *find_target(const Query *query, const std::string &name) {
    const TargetEntry *found = nullptr;
    ListCell *cell;
    foreach (cell, query->targetList) {
        auto *target = static_cast<TargetEntry *>(lfirst(cell));
        if (target->resjunk || name != target->resname)
            continue;
        if (found != nullptr)
            throw bad_key(ERRCODE_AMBIGUOUS_COLUMN,
                          "key column " + quoted(name) +
                              " is ambiguous: the query returns more than one of that name");
        found = target;
    }
    if (found == nullptr)
        throw bad_key(ERRCODE_UNDEFINED_COLUMN,
                      "key column " + quoted(name) + " is not a column of the query",
                      "The query returns: " + output_columns(query) + ".",
                      "Names are taken as they are in the catalog, without folding case.");
    return found;
}

KeyColumn key_column(const TargetEntry *target) {
    KeyColumn column;
    column.name = target->resname;
    call([&] {
        Node *expression = reinterpret_cast<Node *>(target->expr);
        column.typmod = exprTypmod(expression);
        column.type = getBaseTypeAndTypmod(exprType(expression), &column.typmod);
        column.collation = exprCollation(expression);
        column.equality = lookup_type_cache(column.type, TYPECACHE_EQ_OPR)->eq_opr;
    });
    bool has_array = call([&] { return OidIsValid(get_array_type(column.type)); });
    if (!OidIsValid(column.equality) || !has_array)
        throw bad_key(ERRCODE_UNDEFINED_FUNCTION,
                      "key column " + quoted(column.name) + " has type " +
                          std::string(call([&] { return format_type_be(column.type); })) +
                          ", whose values cannot be compared for equality",
                      {}, "Name columns that identify a row, such as those of a primary key.");
    return column;
}

// Whether equal values have one text only, the same in every session. (numeric has many; the
// statements below trim it.)
bool has_one_text(const KeyColumn &column) {
    switch (column.type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case NUMERICOID:
    case OIDOID:
    case BOOLOID:
    case UUIDOID:
    case BYTEAOID:
    case DATEOID:
    case TIMEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return true;
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
        return call([&] {
            return !OidIsValid(column.collation) || get_collation_isdeterministic(column.collation);
        });
    default:
        return call([&] { return type_is_enum(column.type); });
    }
}

std::string operator_name(Oid oid) {
    struct Names {
        const char *schema, *name;
    };
    Names names = call([&] {
        HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(oid));
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "cache lookup failed for operator %u", oid);
        auto *form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
        Names found{quote_identifier(get_namespace_name(form->oprnamespace)),
                    pstrdup(NameStr(form->oprname))};
        ReleaseSysCache(tuple);
        return found;
    });
    return std::string("OPERATOR(") + names.schema + "." + names.name + ")";
}

std::string identifier(const std::string &name) {
    return call([&] { return quote_identifier(name.c_str()); });
}

std::string literal(const std::string &text) {
    return call([&] { return quote_literal_cstr(text.c_str()); });
}

// Names that a query's own aliases are unlikely to be.
constexpr char kRows[] = "rtd_q";
constexpr char kKeys[] = "rtd_k";

std::string row_of(KeyedQuery::RowType type) {
    const char *function = type == KeyedQuery::RowType::jsonb ? "to_jsonb" : "row_to_json";
    return "pg_catalog." + std::string(function) + "(" + kRows + ")";
}

} // namespace

KeyedQuery::~KeyedQuery() = default;

KeyedQuery::KeyedQuery(const std::string &query, size_t parameter_count,
                       const std::vector<std::string> &key)
    : parameter_types_(analyze_topic_query(query, parameter_count).parameter_types),
      origins_(std::make_unique<Origins>()) {
    check_names(key);
    RawStmt *raw =
        call([&] { return static_cast<RawStmt *>(linitial(pg_parse_query(query.c_str()))); });
    statement_ = raw->stmt_len > 0 ? query.substr(static_cast<size_t>(raw->stmt_location),
                                                  static_cast<size_t>(raw->stmt_len))
                                   : query.substr(static_cast<size_t>(Max(raw->stmt_location, 0)));
    Query *analyzed = call([&] {
        Query *parsed =
            parse_analyze_fixedparams(raw, query.c_str(), parameter_types_.data(),
                                      static_cast<int>(parameter_types_.size()), nullptr);
        return static_cast<Query *>(linitial(QueryRewrite(parsed))); // views are subqueries now
    });
    check_has_rows(analyzed);
    std::vector<const TargetEntry *> targets;
    for (const std::string &name : key) {
        targets.push_back(find_target(analyzed, name));
        key_.push_back(key_column(targets.back()));
    }
    for (size_t i = 0; i < key_.size() && why_all_.empty(); i++) {
        KeyOrigins origins = find_key_origins(analyzed, targets[i]->resno);
        why_all_ = origins.why_none;
        if (why_all_.empty() && !has_one_text(key_[i]))
            why_all_ =
                "equal values of key column " + quoted(key_[i].name) + " may have different texts";
        origins_->of_column.push_back(std::move(origins));
    }
}

bool KeyedQuery::reads(Oid relation) const {
    return !origins_->of_column.empty() && origins_->of_column[0].relations.contains(relation);
}

std::optional<std::vector<std::string>> KeyedQuery::columns_of(Oid relation) const {
    if (!why_all_.empty())
        return std::nullopt;
    std::vector<std::string> columns;
    for (const KeyOrigins &origins : origins_->of_column) {
        auto found = origins.columns.find(relation);
        if (found == origins.columns.end())
            return std::nullopt;
        AttrNumber attribute = found->second;
        const char *name = call([&] { return get_attname(relation, attribute, true); });
        if (name == nullptr)
            return std::nullopt;
        columns.emplace_back(name);
    }
    return columns;
}

// jsonb_build_object() of the key's columns, or of those of the keys asked for.
std::string KeyedQuery::key_object(const std::string &alias, bool by_name) const {
    std::string object = "pg_catalog.jsonb_build_object(";
    for (size_t i = 0; i < key_.size(); i++) {
        std::string value =
            alias + "." + (by_name ? identifier(key_[i].name) : "k" + std::to_string(i));
        if (key_[i].type == NUMERICOID) // 1.0 and 1.00 are one key
            value = "pg_catalog.trim_scale(" + value + ")";
        object += (i > 0 ? ", " : "") + literal(key_[i].name) + ", " + value;
    }
    return object + ")";
}

std::string KeyedQuery::select_all(RowType type) const {
    std::string columns;
    for (const KeyColumn &column : key_)
        columns += (columns.empty() ? "" : ", ") + (kRows + ("." + identifier(column.name)));
    return "SELECT " + key_object(kRows, true) + ", " + row_of(type) + ", pg_catalog.num_nulls(" +
           columns + ") FROM (" + statement_ + "\n) AS " + kRows;
}

// OFFSET 0 keeps the planner from making one join of it all: each key is looked up by itself, which
// takes an index wherever there is one, also below GROUP BY, whatever it thinks of how many there
// are.
std::string KeyedQuery::select_keys(RowType type) const {
    std::string arrays, names, condition;
    for (size_t i = 0; i < key_.size(); i++) {
        std::string separator = i > 0 ? ", " : "", number = std::to_string(i);
        arrays += separator + "pg_catalog.unnest($" +
                  std::to_string(parameter_types_.size() + i + 1) + ")";
        names += separator + "k" + number;
        condition += (i > 0 ? " AND " : "") + (kRows + ("." + identifier(key_[i].name))) + " " +
                     operator_name(key_[i].equality) + " " + kKeys + ".k" + number;
    }
    return "SELECT " + key_object(kKeys, false) + ", rtd_r.row FROM ROWS FROM (" + arrays +
           ") AS " + kKeys + " (" + names + ") LEFT JOIN LATERAL (SELECT " + row_of(type) +
           " AS row FROM (" + statement_ + "\n) AS " + kRows + " WHERE " + condition +
           " OFFSET 0) AS rtd_r ON true";
}

} // namespace rtd::pg
