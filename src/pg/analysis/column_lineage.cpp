// Two passes. The first runs under the server's rules (it may ereport) and lays the query out as
// plain lists: one Level for every SELECT in it, and the equality conditions between columns. The
// second follows the column over those lists.
#include "pg/analysis/column_lineage.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/bitmapset.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
}

namespace rtd::pg {

namespace {

// A SELECT: the query itself, or a subquery, CTE or sublink of the level above.
struct Level {
    Query *query;
    Level *parent;
    int table;            // its place among the parent's tables; 0: not one of them
    CommonTableExpr *cte; // of the parent, if it is one
    SubLink *sublink;     // of the parent, if it is one
};

// `one = other` holds for every row that matters, both of them columns as seen from `level`.
struct Equality {
    Level *level;
    Var *one;
    Node *other; // a Var, or a Param that stands for a column of `sublink`
    SubLink *sublink;
    Bitmapset *follow; // tables of the level that may be followed to; null: all
};

struct Layout {
    List *levels;
    List *equalities;
    Level *current; // of the walk
};

// ---- first pass ----

Node *without_relabel(Node *node) {
    while (node != nullptr && IsA(node, RelabelType))
        node = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(node)->arg);
    return node;
}

void tables_below(Node *node, Bitmapset **tables) {
    if (IsA(node, RangeTblRef)) {
        *tables = bms_add_member(*tables, reinterpret_cast<RangeTblRef *>(node)->rtindex);
    } else if (IsA(node, FromExpr)) {
        ListCell *cell;
        foreach (cell, reinterpret_cast<FromExpr *>(node)->fromlist)
            tables_below(static_cast<Node *>(lfirst(cell)), tables);
    } else if (IsA(node, JoinExpr)) {
        auto *join = reinterpret_cast<JoinExpr *>(node);
        tables_below(join->larg, tables);
        tables_below(join->rarg, tables);
    }
}

void add_equality(Layout *layout, Level *level, Node *one, Node *other, SubLink *sublink,
                  Bitmapset *follow) {
    one = without_relabel(one);
    other = without_relabel(other);
    if (one == nullptr || other == nullptr || !IsA(one, Var) || !(IsA(other, Var) || sublink))
        return;
    auto *equality = static_cast<Equality *>(palloc0(sizeof(Equality)));
    *equality = {level, reinterpret_cast<Var *>(one), other, sublink, follow};
    layout->equalities = lappend(layout->equalities, equality);
}

void add_conditions(Layout *layout, Level *level, Node *condition, SubLink *sublink,
                    Bitmapset *follow) {
    if (condition == nullptr)
        return;
    if (is_andclause(condition)) {
        ListCell *cell;
        foreach (cell, reinterpret_cast<BoolExpr *>(condition)->args)
            add_conditions(layout, level, static_cast<Node *>(lfirst(cell)), sublink, follow);
    } else if (IsA(condition, OpExpr)) {
        auto *operation = reinterpret_cast<OpExpr *>(condition);
        if (list_length(operation->args) != 2)
            return;
        auto *left = static_cast<Node *>(linitial(operation->args));
        auto *right = static_cast<Node *>(lsecond(operation->args));
        if (op_mergejoinable(operation->opno, exprType(left)))
            add_equality(layout, level, left, right, sublink, follow);
    } else if (IsA(condition, SubLink) && sublink == nullptr) { // o.id IN (SELECT order_id ...)
        auto *any = reinterpret_cast<SubLink *>(condition);
        if (any->subLinkType == ANY_SUBLINK)
            add_conditions(layout, level, any->testexpr, any, follow);
    }
}

// Rows that an outer join finds no partner for come out all the same, so its condition only says
// which rows of the side that may be missing matter to which of the other side.
void add_join_conditions(Layout *layout, Level *level, Node *node) {
    if (IsA(node, FromExpr)) {
        auto *from = reinterpret_cast<FromExpr *>(node);
        ListCell *cell;
        foreach (cell, from->fromlist)
            add_join_conditions(layout, level, static_cast<Node *>(lfirst(cell)));
        add_conditions(layout, level, from->quals, nullptr, nullptr);
    } else if (IsA(node, JoinExpr)) {
        auto *join = reinterpret_cast<JoinExpr *>(node);
        add_join_conditions(layout, level, join->larg);
        add_join_conditions(layout, level, join->rarg);
        Bitmapset *follow = nullptr;
        if (join->jointype == JOIN_LEFT)
            tables_below(join->rarg, &follow);
        else if (join->jointype == JOIN_RIGHT)
            tables_below(join->larg, &follow);
        if (join->jointype != JOIN_FULL)
            add_conditions(layout, level, join->quals, nullptr, follow);
    }
}

Level *lay_out(Layout *layout, Query *query, Level *parent);

bool lay_out_sublinks(Node *node, void *context) {
    auto *layout = static_cast<Layout *>(context);
    if (node == nullptr)
        return false;
    if (!IsA(node, SubLink))
        return expression_tree_walker(node, RTD_WALKER(lay_out_sublinks), context);
    auto *sublink = reinterpret_cast<SubLink *>(node);
    if (IsA(sublink->subselect, Query)) {
        Level *level = layout->current;
        lay_out(layout, reinterpret_cast<Query *>(sublink->subselect), level)->sublink = sublink;
        layout->current = level;
    }
    return lay_out_sublinks(sublink->testexpr, context);
}

Level *lay_out(Layout *layout, Query *query, Level *parent) {
    auto *level = static_cast<Level *>(palloc0(sizeof(Level)));
    level->query = query;
    level->parent = parent;
    layout->levels = lappend(layout->levels, level);
    for (int table = 1; table <= list_length(query->rtable); table++) {
        RangeTblEntry *entry = rt_fetch(table, query->rtable);
        if (entry->rtekind == RTE_SUBQUERY)
            lay_out(layout, entry->subquery, level)->table = table;
    }
    ListCell *cell;
    foreach (cell, query->cteList) {
        auto *cte = static_cast<CommonTableExpr *>(lfirst(cell));
        if (IsA(cte->ctequery, Query))
            lay_out(layout, reinterpret_cast<Query *>(cte->ctequery), level)->cte = cte;
    }
    layout->current = level;
    query_tree_walker(query, RTD_WALKER(lay_out_sublinks), layout,
                      QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES);
    add_join_conditions(layout, level, reinterpret_cast<Node *>(query->jointree));
    return level;
}

// ---- second pass ----

// Why rows of the query with one value of the column depend on other rows, or nullptr.
const char *why_mixed(const Query *query, const TargetEntry *target) {
    if (query->limitCount != nullptr || query->limitOffset != nullptr)
        return "the query has LIMIT or OFFSET";
    if (query->hasWindowFuncs)
        return "the query has window functions";
    if (query->hasDistinctOn)
        return "the query has DISTINCT ON";
    if (query->hasTargetSRFs)
        return "the query has a set-returning function in its select list";
    if (query->hasRecursive)
        return "the query is recursive";
    if (query->groupingSets != NIL)
        return "the query has grouping sets";
    if (!query->hasAggs && query->groupClause == NIL && query->havingQual == nullptr)
        return nullptr;
    ListCell *cell;
    foreach (cell, query->groupClause)
        if (target->ressortgroupref != 0 &&
            static_cast<SortGroupClause *>(lfirst(cell))->tleSortGroupRef ==
                target->ressortgroupref)
            return nullptr;
    return "the query groups by other columns than the key";
}

const TargetEntry *output_of(const Query *query, AttrNumber number) {
    ListCell *cell;
    foreach (cell, query->targetList)
        if (static_cast<TargetEntry *>(lfirst(cell))->resno == number)
            return static_cast<TargetEntry *>(lfirst(cell));
    return nullptr;
}

class Follower {
  public:
    explicit Follower(const Layout &layout) : layout_(layout) {}

    void follow_output(const Level *level, AttrNumber number) {
        const TargetEntry *target = output_of(level->query, number);
        if (target == nullptr || why_mixed(level->query, target) != nullptr)
            return;
        if (level->query->setOperations != nullptr)
            follow_set_operation(level, level->query->setOperations, number);
        else
            follow(level, reinterpret_cast<const Node *>(target->expr));
    }

    KeyOrigins found() const;
    bool reached_table() const;

  private:
    using Place = std::tuple<const Level *, int, AttrNumber>; // of a table's column

    void follow(const Level *level, const Node *expression);
    void follow_table(const Level *level, int table, AttrNumber column);
    void follow_set_operation(const Level *level, const Node *node, AttrNumber number);
    void follow_cte(const Level *level, const RangeTblEntry *entry, AttrNumber column);
    void follow_equalities(const Place &place);
    const Level *child(const Level *level, int table) const;
    std::optional<Place> place_of(const Level *level, const Var *var) const;

    const Layout &layout_;
    std::set<Place> places_;
};

const Node *plain(const Node *node) {
    while (node != nullptr && IsA(node, RelabelType))
        node = reinterpret_cast<const Node *>(reinterpret_cast<const RelabelType *>(node)->arg);
    return node;
}

void Follower::follow(const Level *level, const Node *expression) {
    expression = plain(expression);
    if (expression == nullptr || !IsA(expression, Var))
        return;
    auto *var = reinterpret_cast<const Var *>(expression);
    if (var->varlevelsup == 0 && var->varattno > 0)
        follow_table(level, static_cast<int>(var->varno), var->varattno);
}

void Follower::follow_table(const Level *level, int table, AttrNumber column) {
    if (!places_.emplace(level, table, column).second)
        return;
    const RangeTblEntry *entry = rt_fetch(table, level->query->rtable);
    switch (entry->rtekind) {
    case RTE_SUBQUERY:
        if (const Level *subquery = child(level, table))
            follow_output(subquery, column);
        break;
    case RTE_JOIN: // a column that USING merged
        follow(level, static_cast<const Node *>(list_nth(entry->joinaliasvars, column - 1)));
        break;
    case RTE_CTE:
        follow_cte(level, entry, column);
        break;
#ifdef RTD_GROUP_EXPRESSIONS
    case RTE_GROUP:
        follow(level,
               static_cast<const Node *>(list_nth(RTD_GROUP_EXPRESSIONS(entry), column - 1)));
        break;
#endif
    default:
        break;
    }
    follow_equalities({level, table, column});
}

void Follower::follow_set_operation(const Level *level, const Node *node, AttrNumber number) {
    if (IsA(node, RangeTblRef))
        return follow_table(level, reinterpret_cast<const RangeTblRef *>(node)->rtindex, number);
    auto *operation = reinterpret_cast<const SetOperationStmt *>(node);
    follow_set_operation(level, operation->larg, number);
    follow_set_operation(level, operation->rarg, number);
}

// One that is used twice is not followed: both uses would have to agree.
void Follower::follow_cte(const Level *level, const RangeTblEntry *entry, AttrNumber column) {
    const Level *owner = level;
    for (Index up = entry->ctelevelsup; up > 0 && owner != nullptr; up--)
        owner = owner->parent;
    ListCell *cell;
    foreach (cell, layout_.levels) {
        auto *candidate = static_cast<const Level *>(lfirst(cell));
        const CommonTableExpr *cte = candidate->cte;
        if (candidate->parent == owner && cte != nullptr &&
            strcmp(cte->ctename, entry->ctename) == 0 && cte->cterefcount == 1 &&
            !cte->cterecursive)
            follow_output(candidate, column);
    }
}

void Follower::follow_equalities(const Place &place) {
    auto may_follow = [](const Equality *equality, const Var *var) {
        return var->varlevelsup == 0 &&
               (equality->follow == nullptr ||
                bms_is_member(static_cast<int>(var->varno), equality->follow));
    };
    ListCell *cell;
    foreach (cell, layout_.equalities) {
        auto *equality = static_cast<const Equality *>(lfirst(cell));
        const Level *level = equality->level;
        bool is_one = place_of(level, equality->one) == place;
        if (equality->sublink != nullptr) {
            if (!is_one || !IsA(equality->other, Param))
                continue;
            auto *param = reinterpret_cast<const Param *>(equality->other);
            ListCell *below;
            foreach (below, layout_.levels) {
                auto *candidate = static_cast<const Level *>(lfirst(below));
                if (candidate->sublink == equality->sublink && param->paramkind == PARAM_SUBLINK)
                    follow_output(candidate, static_cast<AttrNumber>(param->paramid));
            }
            continue;
        }
        auto *other = reinterpret_cast<const Var *>(equality->other);
        if (is_one && may_follow(equality, other))
            follow(level, reinterpret_cast<const Node *>(other));
        else if (place_of(level, other) == place && may_follow(equality, equality->one))
            follow(level, reinterpret_cast<const Node *>(equality->one));
    }
}

const Level *Follower::child(const Level *level, int table) const {
    ListCell *cell;
    foreach (cell, layout_.levels) {
        auto *candidate = static_cast<const Level *>(lfirst(cell));
        if (candidate->parent == level && candidate->table == table)
            return candidate;
    }
    return nullptr;
}

std::optional<Follower::Place> Follower::place_of(const Level *level, const Var *var) const {
    for (Index up = var->varlevelsup; up > 0 && level != nullptr; up--)
        level = level->parent;
    if (level == nullptr)
        return std::nullopt;
    return Place{level, static_cast<int>(var->varno), var->varattno};
}

bool Follower::reached_table() const {
    return std::ranges::any_of(places_, [](const Place &place) {
        const auto &[level, table, column] = place;
        return rt_fetch(table, level->query->rtable)->rtekind == RTE_RELATION;
    });
}

// A table that occurs more than once must be reached everywhere, by the same column.
KeyOrigins Follower::found() const {
    std::map<Oid, std::optional<std::set<AttrNumber>>> common;
    KeyOrigins origins;
    ListCell *cell;
    foreach (cell, layout_.levels) {
        auto *level = static_cast<const Level *>(lfirst(cell));
        for (int table = 1; table <= list_length(level->query->rtable); table++) {
            const RangeTblEntry *entry = rt_fetch(table, level->query->rtable);
            if (entry->rtekind != RTE_RELATION)
                continue;
            origins.relations.insert(entry->relid);
            std::set<AttrNumber> here;
            for (const auto &[at_level, at_table, column] : places_)
                if (at_level == level && at_table == table)
                    here.insert(column);
            std::optional<std::set<AttrNumber>> &known = common[entry->relid];
            if (known)
                std::erase_if(*known, [&](AttrNumber c) { return !here.contains(c); });
            else
                known = std::move(here);
        }
    }
    for (const auto &[relation, columns] : common)
        if (!columns->empty())
            origins.columns[relation] = *columns->begin();
    return origins;
}

} // namespace

KeyOrigins find_key_origins(Query *query, AttrNumber column) {
    Layout layout{};
    Level *top = call([&] { return lay_out(&layout, query, nullptr); });
    Follower follower(layout);
    follower.follow_output(top, column);
    KeyOrigins origins = follower.found();
    const TargetEntry *target = output_of(query, column);
    if (const char *why = why_mixed(query, target))
        origins.why_none = why;
    else if (origins.columns.empty())
        origins.why_none = std::string("key column \"") + target->resname +
                           (follower.reached_table() ? "\" is of a table that the query has twice"
                                                     : "\" is not a column of a table");
    return origins;
}

} // namespace rtd::pg
