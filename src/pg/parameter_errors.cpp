#include "pg/parameter_errors.h"

#include "pg/boundary.h"

#include "pg/prelude.h"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
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

// The largest ones, into the list that `context` points to.
bool collect(Node *node, void *context) {
    if (node == nullptr)
        return false;
    if (IsA(node, Query))
        return query_tree_walker(reinterpret_cast<Query *>(node), RTD_WALKER(collect), context, 0);
    Content content;
    if (is_computation(node) && !expression_returns_set(node) && !has_other(node, &content)) {
        if (content.has_parameter)
            *static_cast<List **>(context) = lappend(*static_cast<List **>(context), node);
        return false;
    }
    return expression_tree_walker(node, RTD_WALKER(collect), context);
}

List *parameter_expressions(const std::string &query, const std::vector<Oid> &types) {
    return call([&] {
        auto *raw = static_cast<RawStmt *>(linitial(pg_parse_query(query.c_str())));
        Query *analyzed = parse_analyze_fixedparams(raw, query.c_str(), types.data(),
                                                    static_cast<int>(types.size()), nullptr);
        List *found = NIL;
        ListCell *cell;
        foreach (cell, QueryRewrite(analyzed)) // views are subqueries now
            collect(static_cast<Node *>(lfirst(cell)), &found);
        return found;
    });
}

} // namespace

void evaluate_parameters(const std::string &query, const std::vector<Oid> &types,
                         const std::vector<Datum> &values) {
    List *expressions = parameter_expressions(query, types);
    call([&] {
        EState *state = CreateExecutorState();
        state->es_param_list_info = makeParamList(static_cast<int>(values.size()));
        for (size_t i = 0; i < values.size(); i++)
            state->es_param_list_info->params[i] = {values[i], false, PARAM_FLAG_CONST, types[i]};
        ListCell *cell;
        foreach (cell, expressions) {
            CHECK_FOR_INTERRUPTS();
            bool is_null = false;
            ExprState *expression = ExecPrepareExpr(reinterpret_cast<Expr *>(lfirst(cell)), state);
            ExecEvalExprSwitchContext(expression, GetPerTupleExprContext(state), &is_null);
        }
        FreeExecutorState(state);
    });
}

bool is_of_value(int sqlstate) {
    int category = ERRCODE_TO_CATEGORY(sqlstate);
    return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
}

} // namespace rtd::pg
