// See condition.h. Runs in backends. Nothing is executed here.
#include "pg/analysis/condition.h"

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/parsenodes.h"
#include "parser/parser.h"
}

namespace rtd::pg {

namespace {

// What stands between SELECT and the semicolon is nothing but a list of expressions.
bool is_plain(const SelectStmt *select) {
    return select->op == SETOP_NONE && select->distinctClause == NIL &&
           select->intoClause == nullptr && select->fromClause == NIL &&
           select->whereClause == nullptr && select->groupClause == NIL &&
           select->havingClause == nullptr && select->windowClause == NIL &&
           select->valuesLists == NIL && select->sortClause == NIL &&
           select->limitOffset == nullptr && select->limitCount == nullptr &&
           select->lockingClause == NIL && select->withClause == nullptr;
}

} // namespace

Node *parse_condition(const std::string &condition, const char *becomes, const char *example) {
    auto refuse = [&] {
        return Error(ERRCODE_SYNTAX_ERROR, "the condition must be one expression",
                     std::string("It becomes ") + becomes + ": \"" + condition + "\".",
                     std::string("For example: condition => ") + example + ".");
    };
    List *parsed = call([&] { return raw_parser(condition.c_str(), RAW_PARSE_PLPGSQL_EXPR); });
    if (list_length(parsed) != 1)
        throw refuse();
    Node *statement = static_cast<RawStmt *>(linitial(parsed))->stmt;
    if (!IsA(statement, SelectStmt))
        throw refuse();
    auto *select = reinterpret_cast<SelectStmt *>(statement);
    if (!is_plain(select) || list_length(select->targetList) != 1)
        throw refuse();
    auto *target = static_cast<ResTarget *>(linitial(select->targetList));
    if (target->name != nullptr)
        throw refuse();
    return target->val;
}

} // namespace rtd::pg
