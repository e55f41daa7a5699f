#include "pg/sql/parameter_types.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "pg/analysis/topic_query.h"
#include "pg/server/as_owner.h"
#include "pg/server/attempt.h"
#include "pg/value/parameter.h"

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "utils/typcache.h"
}

namespace rtd::pg {

namespace {

// What the query does with one parameter. Trivial, because it is filled inside call().
struct Use {
    Oid type;      // no domain
    Oid collation; // nondeterministic, by which it is compared; or none
    bool is_compared_otherwise;
    bool is_compared_exactly; // under a deterministic collation
};

struct Uses {
    Use *of_parameter;
    int count;

    Use *of(const Node *node) const {
        if (node == nullptr || !IsA(node, Param))
            return nullptr;
        auto *param = reinterpret_cast<const Param *>(node);
        bool is_ours =
            param->paramkind == PARAM_EXTERN && param->paramid >= 1 && param->paramid <= count;
        return is_ours ? &of_parameter[param->paramid - 1] : nullptr;
    }
};

bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID;
}

bool keeps_value(Oid from, Oid to) {
    return from == to || (is_text(from) && is_text(to));
}

bool is_implicit_cast(const Node *node) {
    return IsA(node, FuncExpr) &&
           reinterpret_cast<const FuncExpr *>(node)->funcformat == COERCE_IMPLICIT_CAST &&
           list_length(reinterpret_cast<const FuncExpr *>(node)->args) >= 1;
}

Node *first_argument(const Node *node) {
    return static_cast<Node *>(linitial(reinterpret_cast<const FuncExpr *>(node)->args));
}

bool is_whole(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

// The parameter that the operand is, if what is done to it keeps which values are equal.
Use *parameter_of(const Uses *uses, const Node *node) {
    if (Use *use = uses->of(node))
        return use;
    if (node == nullptr)
        return nullptr;
    if (IsA(node, CollateExpr))
        return parameter_of(
            uses, reinterpret_cast<const Node *>(reinterpret_cast<const CollateExpr *>(node)->arg));
    if (IsA(node, RelabelType)) {
        auto *relabel = reinterpret_cast<const RelabelType *>(node);
        Use *use = parameter_of(uses, reinterpret_cast<const Node *>(relabel->arg));
        return use != nullptr && keeps_value(use->type, getBaseType(relabel->resulttype)) ? use
                                                                                          : nullptr;
    }
    if (is_implicit_cast(node)) {
        Use *use = parameter_of(uses, first_argument(node));
        return use != nullptr && is_whole(use->type) ? use : nullptr;
    }
    return nullptr;
}

// A column, perhaps as text: which column's values compare with the parameter's texts is for
// form_of_column() to say.
bool is_column(const Node *node) {
    if (node == nullptr)
        return false;
    switch (nodeTag(node)) {
    case T_Var:
        return true;
    case T_RelabelType:
        return is_column(
            reinterpret_cast<const Node *>(reinterpret_cast<const RelabelType *>(node)->arg));
    case T_CollateExpr:
        return is_column(
            reinterpret_cast<const Node *>(reinterpret_cast<const CollateExpr *>(node)->arg));
    case T_CoerceViaIO: {
        auto *coerce = reinterpret_cast<const CoerceViaIO *>(node);
        return is_text(coerce->resulttype) &&
               is_column(reinterpret_cast<const Node *>(coerce->arg));
    }
    case T_FuncExpr: {
        auto *function = reinterpret_cast<const FuncExpr *>(node);
        bool is_cast = is_implicit_cast(node) || (function->funcformat == COERCE_EXPLICIT_CAST &&
                                                  is_text(function->funcresulttype));
        return is_cast && is_column(first_argument(node));
    }
    default:
        return false;
    }
}

bool is_equality_of(Oid type, Oid operator_id) {
    TypeCacheEntry *entry =
        lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY | TYPECACHE_HASH_OPFAMILY);
    bool is_own = (OidIsValid(entry->btree_opf) && op_in_opfamily(operator_id, entry->btree_opf)) ||
                  (OidIsValid(entry->hash_opf) && op_in_opfamily(operator_id, entry->hash_opf));
    return is_own && (op_mergejoinable(operator_id, type) || op_hashjoinable(operator_id, type));
}

// Every parameter in the expression, but not in subqueries, whose comparisons are looked at by
// themselves.
bool mark_compared_otherwise(Node *node, void *context) {
    if (node == nullptr || IsA(node, Query))
        return false;
    auto *uses = static_cast<Uses *>(context);
    if (Use *use = uses->of(node))
        use->is_compared_otherwise = true;
    return expression_tree_walker(node, RTD_WALKER(mark_compared_otherwise), context);
}

void note_comparison(Uses *uses, const OpExpr *expression) {
    ListCell *cell;
    foreach (cell, expression->args) {
        auto *operand = static_cast<Node *>(lfirst(cell));
        Use *use = list_length(expression->args) == 2 ? parameter_of(uses, operand) : nullptr;
        auto *other =
            static_cast<Node *>(operand == linitial(expression->args) ? llast(expression->args)
                                                                      : linitial(expression->args));
        if (use == nullptr || !is_column(other) || !is_equality_of(use->type, expression->opno)) {
            mark_compared_otherwise(operand, uses);
            continue;
        }
        Oid collation = expression->inputcollid;
        if (!OidIsValid(collation) || get_collation_isdeterministic(collation)) {
            use->is_compared_exactly = true;
            continue;
        }
        if (OidIsValid(use->collation) && use->collation != collation)
            use->is_compared_otherwise = true;
        use->collation = collation;
    }
}

bool note_uses(Node *node, void *context) {
    if (node == nullptr)
        return false;
    auto *uses = static_cast<Uses *>(context);
    switch (nodeTag(node)) {
    case T_Query:
        return query_tree_walker(reinterpret_cast<Query *>(node), RTD_WALKER(note_uses), context,
                                 0);
    case T_OpExpr:
    case T_DistinctExpr:
    case T_NullIfExpr: {
        auto *expression = reinterpret_cast<OpExpr *>(node);
        if (expression->opresulttype == BOOLOID || IsA(node, NullIfExpr))
            note_comparison(uses, expression);
        break;
    }
    case T_FuncExpr:
        if (reinterpret_cast<FuncExpr *>(node)->funcresulttype == BOOLOID)
            mark_compared_otherwise(node, context);
        break;
    case T_ScalarArrayOpExpr:
    case T_RowCompareExpr:
        mark_compared_otherwise(node, context);
        break;
    default:
        break;
    }
    return expression_tree_walker(node, RTD_WALKER(note_uses), context);
}

ParameterType described(Oid type, const Use &use) {
    bool is_ambiguous = OidIsValid(use.collation) && use.is_compared_exactly;
    bool is_matched = !use.is_compared_otherwise && !is_ambiguous && !is_opaque(type);
    return {type, is_matched ? use.collation : InvalidOid, is_matched};
}

// ---- topics without a query ----

struct ColumnType {
    Oid type = InvalidOid;
    Oid collation = InvalidOid;
};

int width_of(Oid type) {
    return type == INT2OID ? 1 : type == INT4OID ? 2 : type == INT8OID ? 3 : 4;
}

bool is_number(Oid type) {
    return is_whole(type) || type == NUMERICOID;
}

// One type that has the values of both, or text.
ColumnType common_type(const ColumnType &a, const ColumnType &b) {
    if (a.type == b.type || (is_text(a.type) && is_text(b.type)))
        return {a.type, a.collation == b.collation ? a.collation : InvalidOid};
    if (is_number(a.type) && is_number(b.type))
        return width_of(a.type) > width_of(b.type) ? a : b;
    return {TEXTOID, InvalidOid};
}

std::vector<ParameterType> parameter_types_of_watches(const Registry &registry,
                                                      const Topic &topic) {
    Rows columns =
        registry.run("SELECT p.position, a.atttypid, a.attcollation FROM @.rtd_watch w,"
                     " unnest(w.parameters) WITH ORDINALITY AS p (name, position), pg_attribute a"
                     " WHERE w.topic = $1 AND a.attrelid = w.relation AND a.attname = p.name"
                     " AND NOT a.attisdropped ORDER BY w.relation",
                     {text_value(topic.name)});
    std::vector<ColumnType> found(topic.parameters.size());
    for (const Row &row : columns.rows) {
        size_t index = std::stoul(row[0].text.value()) - 1;
        Oid declared = row[1].oid();
        ColumnType column{call([&] { return getBaseType(declared); }), row[2].oid()};
        if (index >= found.size())
            continue;
        ColumnType &known = found[index];
        known = OidIsValid(known.type) ? common_type(known, column) : column;
    }
    std::vector<ParameterType> types;
    for (const ColumnType &column : found) {
        Oid collation = column.collation;
        bool decides = OidIsValid(collation) &&
                       !call([&] { return get_collation_isdeterministic(collation); });
        types.push_back({OidIsValid(column.type) ? column.type : TEXTOID,
                         decides ? collation : InvalidOid, true});
    }
    return types;
}

std::vector<ParameterType> present_types(const Registry &registry, const Topic &topic) {
    if (topic.parameters.empty())
        return {};
    if (!topic.has_query())
        return parameter_types_of_watches(registry, topic);
    std::vector<ParameterType> types;
    as_owner(topic.owner, topic.search_path,
             [&] { types = parameter_types_of_query(*topic.query, topic.parameters.size()); });
    return types;
}

} // namespace

std::vector<ParameterType> parameter_types_of_query(const std::string &query,
                                                    size_t parameter_count) {
    Query *analyzed = nullptr;
    std::vector<Oid> types = analyze_topic_query(query, parameter_count, &analyzed).parameter_types;
    std::vector<Use> found(types.size(), Use{});
    Uses uses{found.data(), static_cast<int>(found.size())};
    call([&] {
        for (int i = 0; i < uses.count; i++)
            uses.of_parameter[i].type = getBaseType(types[static_cast<size_t>(i)]);
        note_uses(reinterpret_cast<Node *>(analyzed), &uses);
    });
    std::vector<ParameterType> described_types;
    for (size_t i = 0; i < types.size(); i++)
        described_types.push_back(described(types[i], found[i]));
    return described_types;
}

bool describe_parameters(const Registry &registry, const Topic &topic) {
    std::vector<ParameterType> present = present_types(registry, topic);
    if (present == topic.parameter_types)
        return false;
    TextList types, collations;
    for (const ParameterType &parameter : present) {
        types.emplace_back(std::to_string(parameter.type));
        collations.push_back(parameter.is_matched
                                 ? std::optional(std::to_string(parameter.collation))
                                 : std::nullopt);
    }
    registry.run("UPDATE @.rtd_topic SET parameter_types = $2::oid[]::regtype[]::text[],"
                 " parameter_collations = $3::oid[]::regcollation[]::text[] WHERE name = $1",
                 {text_value(topic.name), texts_value(types), texts_value(collations)});
    return true;
}

bool update_parameters(const Registry &registry, const std::string &name) {
    bool changed = false;
    std::optional<Error> failure = attempt([&] {
        std::optional<Topic> topic = find_topic(registry, name);
        if (topic && !topic->parameters.empty())
            changed = describe_parameters(registry, *topic);
    });
    if (failure)
        call([&] {
            ereport(DEBUG1, (errmsg("the parameters of topic \"%s\" keep their types: %s",
                                    name.c_str(), failure->message().c_str())));
        });
    return !failure && changed;
}

} // namespace rtd::pg
