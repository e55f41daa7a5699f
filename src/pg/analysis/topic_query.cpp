// Parse analysis of topic queries; see topic_query.h. Runs in backends when a topic is made and in
// query workers before a topic's first run. Nothing is executed here.
#include "pg/analysis/topic_query.h"

#include <set>

#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parse_relation.h"
#include "tcop/tcopprot.h"
}

namespace rtd::pg {

namespace {

const char kOneSelect[] = "The query of a topic is one SELECT, WITH .. SELECT, VALUES or TABLE.";

RawStmt *parse_one_select(const std::string &query) {
    List *statements = call([&] { return pg_parse_query(query.c_str()); });
    if (list_length(statements) == 0)
        throw Error(ERRCODE_SYNTAX_ERROR, "the query of a topic must not be empty", {}, kOneSelect);
    if (list_length(statements) > 1)
        throw Error(ERRCODE_SYNTAX_ERROR, "the query of a topic must be one statement",
                    "It has " + std::to_string(list_length(statements)) + " statements.",
                    kOneSelect);
    auto *raw = static_cast<RawStmt *>(linitial(statements));
    if (!IsA(raw->stmt, SelectStmt))
        throw Error(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a topic must be a SELECT", {},
                    kOneSelect);
    return raw;
}

bool changes_or_locks(Node *node, void *context) {
    if (node == nullptr)
        return false;
    if (IsA(node, Query)) {
        auto *query = reinterpret_cast<Query *>(node);
        if (query->commandType != CMD_SELECT || query->hasModifyingCTE || query->rowMarks != NIL)
            return true;
        return query_tree_walker(query, RTD_WALKER(changes_or_locks), context, 0);
    }
    return expression_tree_walker(node, RTD_WALKER(changes_or_locks), context);
}

OutputColumns output_columns(const Query *query) {
    OutputColumns columns;
    ListCell *cell;
    foreach (cell, query->targetList) {
        auto *target = static_cast<TargetEntry *>(lfirst(cell));
        if (!target->resjunk)
            columns.push_back({target->resname, call([&] {
                                   return getBaseType(
                                       exprType(reinterpret_cast<Node *>(target->expr)));
                               })});
    }
    return columns;
}

// A JSON object has one member of a name, and would silently drop the other columns.
void check_columns(const OutputColumns &columns) {
    if (columns.empty())
        throw Error(ERRCODE_SYNTAX_ERROR, "the query of a topic must return at least one column");
    std::set<std::string_view> names;
    for (const OutputColumn &column : columns)
        if (!names.insert(column.name).second)
            throw Error(ERRCODE_DUPLICATE_COLUMN,
                        "the query of a topic returns more than one column named \"" + column.name +
                            "\"",
                        "Its rows are sent as JSON objects, which have one member of each name.",
                        "Give each a name of its own with AS, as in: o.id AS order_id.");
}

} // namespace

TopicQuery analyze_topic_query(const std::string &query, size_t parameter_count, Query **analysis) {
    RawStmt *raw = parse_one_select(query);
    Oid *types = nullptr;
    int type_count = static_cast<int>(parameter_count);
    Query *analyzed = call([&] {
        types = static_cast<Oid *>(palloc0((parameter_count + 1) * sizeof(Oid)));
        return parse_analyze_varparams(raw, query.c_str(), &types, &type_count, nullptr);
    });
    // SELECT INTO becomes a utility command by its analysis.
    if (analyzed->commandType != CMD_SELECT)
        throw Error(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a topic must not be SELECT INTO",
                    {}, kOneSelect);
    bool writes =
        call([&] { return changes_or_locks(reinterpret_cast<Node *>(analyzed), nullptr); });
    if (writes)
        throw Error(ERRCODE_FEATURE_NOT_SUPPORTED,
                    "the query of a topic must neither modify data nor lock rows",
                    "It runs in a read-only transaction.", kOneSelect);
    if (call([&] { return isQueryUsingTempRelation(analyzed); }))
        throw Error(ERRCODE_FEATURE_NOT_SUPPORTED,
                    "the query of a topic must not use temporary tables",
                    "It runs in another session, which cannot see them.");
    if (type_count > static_cast<int>(parameter_count))
        throw Error(ERRCODE_UNDEFINED_PARAMETER,
                    "the query uses parameter $" + std::to_string(type_count) +
                        " of a topic with " + counted(parameter_count, "parameter"),
                    {}, "Name the topic's parameters: parameters => '{project_id,session_id}'.");

    TopicQuery found{{}, output_columns(analyzed)};
    check_columns(found.columns);
    if (analysis != nullptr)
        *analysis = analyzed;
    for (size_t i = 0; i < parameter_count; i++)
        found.parameter_types.push_back(OidIsValid(types[i]) && types[i] != UNKNOWNOID ? types[i]
                                                                                       : TEXTOID);
    return found;
}

} // namespace rtd::pg
