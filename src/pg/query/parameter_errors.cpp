#include "pg/query/parameter_errors.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
}

namespace rtd::pg {

namespace {

struct Content {
    bool has_parameter = false;
    int cases = 0; // that surround the node, whose CaseTestExprs have a value
};

bool may_read_tables(Oid function, void *) {
    char volatility = func_volatile(function);
    bool is_servers = function < FirstNormalObjectId;
    return volatility != PROVOLATILE_IMMUTABLE && !(volatility == PROVOLATILE_STABLE && is_servers);
}

// Whether something of it comes from elsewhere than parameters and constants.
bool has_other(Node *node, void *context) {
    auto *content = static_cast<Content *>(context);
    if (node == nullptr)
        return false;
    switch (nodeTag(node)) {
    case T_Param:
        content->has_parameter = true;
        return reinterpret_cast<Param *>(node)->paramkind != PARAM_EXTERN;
    case T_Query:
    case T_Var:
    case T_SubLink:
    case T_Aggref:
    case T_GroupingFunc:
    case T_WindowFunc:
    case T_CoerceToDomainValue:
    case T_SetToDefault:
    case T_CurrentOfExpr:
    case T_NextValueExpr:
        return true;
    case T_CaseTestExpr:
        return content->cases == 0;
    default:
        break;
    }
    if (check_functions_in_node(node, may_read_tables, nullptr))
        return true;
    bool is_case = IsA(node, CaseExpr) || IsA(node, ArrayCoerceExpr);
    content->cases += is_case ? 1 : 0;
    bool found = expression_tree_walker(node, RTD_WALKER(has_other), context);
    content->cases -= is_case ? 1 : 0;
    return found;
}

// Nodes that compute something and can be evaluated by themselves.
bool is_computation(const Node *node) {
    switch (nodeTag(node)) {
    case T_FuncExpr:
    case T_OpExpr:
    case T_DistinctExpr:
    case T_NullIfExpr:
    case T_ScalarArrayOpExpr:
    case T_BoolExpr:
    case T_RelabelType:
    case T_CoerceViaIO:
    case T_ArrayCoerceExpr:
    case T_CoerceToDomain:
    case T_CaseExpr:
    case T_CoalesceExpr:
    case T_MinMaxExpr:
    case T_ArrayExpr:
    case T_RowExpr:
    case T_SubscriptingRef:
    case T_NullTest:
    case T_BooleanTest:
        return true;
    default:
        return false;
    }
}

// Expressions made of parameters and constants alone.
struct Found {
    List *computations; // the largest ones
    List *limits;       // LIMIT and OFFSET
    List *operands;     // texts that are compared with what comes from elsewhere
};

bool is_made_of_parameters(Node *node) {
    Content content;
    return !expression_returns_set(node) && !has_other(node, &content) && content.has_parameter;
}

void add_limit(Node *limit, Found *found) {
    if (limit != nullptr && is_made_of_parameters(limit))
        found->limits = lappend(found->limits, limit);
}

void add_operands(List *arguments, Found *found) {
    ListCell *cell;
    foreach (cell, arguments) {
        auto *argument = static_cast<Node *>(lfirst(cell));
        if (exprType(argument) == TEXTOID && is_made_of_parameters(argument))
            found->operands = lappend(found->operands, argument);
    }
}

// Into the Found that `context` points to.
bool collect(Node *node, void *context) {
    if (node == nullptr)
        return false;
    auto *found = static_cast<Found *>(context);
    if (IsA(node, Query)) {
        auto *query = reinterpret_cast<Query *>(node);
        add_limit(query->limitCount, found);
        add_limit(query->limitOffset, found);
        return query_tree_walker(query, RTD_WALKER(collect), context, 0);
    }
    Content content;
    if (is_computation(node) && !expression_returns_set(node) && !has_other(node, &content)) {
        if (content.has_parameter)
            found->computations = lappend(found->computations, node);
        return false;
    }
    if (IsA(node, OpExpr))
        add_operands(reinterpret_cast<OpExpr *>(node)->args, found);
    if (IsA(node, FuncExpr))
        add_operands(reinterpret_cast<FuncExpr *>(node)->args, found);
    return expression_tree_walker(node, RTD_WALKER(collect), context);
}

bool is_users(Oid function, void *) {
    return function >= FirstNormalObjectId;
}

bool calls_users_function(Node *node, void *context) {
    if (node == nullptr)
        return false;
    return check_functions_in_node(node, is_users, nullptr) ||
           expression_tree_walker(node, RTD_WALKER(calls_users_function), context);
}

Found parameter_expressions(const std::string &query, const std::vector<Oid> &types) {
    return call([&] {
        auto *raw = static_cast<RawStmt *>(linitial(pg_parse_query(query.c_str())));
        Query *analyzed = parse_analyze_fixedparams(raw, query.c_str(), types.data(),
                                                    static_cast<int>(types.size()), nullptr);
        Found found = {NIL, NIL, NIL};
        ListCell *cell;
        foreach (cell, QueryRewrite(analyzed)) // views are subqueries now
            collect(static_cast<Node *>(lfirst(cell)), &found);
        return found;
    });
}

EState *make_state(const std::vector<Oid> &types, const std::vector<Datum> &values) {
    EState *state = CreateExecutorState();
    state->es_param_list_info = makeParamList(static_cast<int>(values.size()));
    for (size_t i = 0; i < values.size(); i++)
        state->es_param_list_info->params[i] = {values[i], false, PARAM_FLAG_CONST, types[i]};
    return state;
}

NullableDatum evaluate(EState *state, Node *node) {
    CHECK_FOR_INTERRUPTS();
    NullableDatum result = {0, false};
    ExprState *expression = ExecPrepareExpr(reinterpret_cast<Expr *>(node), state);
    result.value =
        ExecEvalExprSwitchContext(expression, GetPerTupleExprContext(state), &result.isnull);
    return result;
}

// The executor finds this out while the query runs.
void check_limit(EState *state, Node *limit) {
    NullableDatum rows = evaluate(state, limit);
    if (!rows.isnull && DatumGetInt64(rows.value) < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE),
                        errmsg("LIMIT and OFFSET must not be negative")));
}

// Regular expressions are compiled when the first row is compared.
void check_pattern(EState *state, Node *operand) {
    NullableDatum pattern = evaluate(state, operand);
    if (!pattern.isnull)
        (void)DirectFunctionCall2Coll(textregexeq, DEFAULT_COLLATION_OID, CStringGetTextDatum(""),
                                      pattern.value);
}

// Of a text that is no query of words, no path, or the name of nothing.
bool is_of_syntax_or_name(int sqlstate) {
    switch (sqlstate) {
    case ERRCODE_SYNTAX_ERROR:
    case ERRCODE_UNDEFINED_OBJECT:
    case ERRCODE_UNDEFINED_TABLE:
    case ERRCODE_UNDEFINED_FUNCTION:
    case ERRCODE_AMBIGUOUS_FUNCTION:
    case ERRCODE_INVALID_NAME:
    case ERRCODE_INVALID_SCHEMA_NAME:
        return true;
    default:
        return false;
    }
}

} // namespace

void evaluate_parameters(const std::string &query, const std::vector<Oid> &types,
                         const std::vector<Datum> &values, int failure, bool &is_their_fault) {
    Found found = parameter_expressions(query, types);
    EState *state = call([&] { return make_state(types, values); });
    auto attempt_each = [&](List *nodes, auto check) {
        ListCell *cell;
        foreach (cell, nodes) {
            auto *node = static_cast<Node *>(lfirst(cell));
            try {
                call([&] { check(state, node); });
            } catch (const Error &error) {
                is_their_fault = is_of_value(error.sqlstate()) ||
                                 (is_of_syntax_or_name(error.sqlstate()) &&
                                  !call([&] { return calls_users_function(node, nullptr); }));
                throw;
            }
        }
    };
    attempt_each(found.computations, [](EState *in, Node *node) { (void)evaluate(in, node); });
    attempt_each(found.limits, check_limit);
    if (failure == ERRCODE_INVALID_REGULAR_EXPRESSION)
        attempt_each(found.operands, check_pattern);
    call([&] { FreeExecutorState(state); });
}

bool is_of_value(int sqlstate) {
    int category = ERRCODE_TO_CATEGORY(sqlstate);
    return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
}

bool may_be_of_parameters(int sqlstate) {
    return is_of_value(sqlstate) || is_of_syntax_or_name(sqlstate);
}

} // namespace rtd::pg
