// rtd_serve_table(): makes a table live with one call, as rtd_create_topic(), rtd_watch_table() and
// rtd_grant() do with three, with the checks of all of them, in the caller's transaction. Runs in
// backends.
//
// What is made is an ordinary topic. That this function made it, and of which table, is a row of
// rtd_served_table, so that a second call knows what it may replace: it changes no topic that
// somebody has made for something else.
#include <algorithm>

#include "pg/analysis/condition.h"
#include "pg/analysis/keyed_query.h"
#include "pg/registry/topic.h"
#include "pg/registry/watch_columns.h"
#include "pg/sql/grant.h"
#include "pg/sql/topic_address.h"
#include "pg/sql/topic_ddl.h"
#include "pg/sql/watch.h"
#include "pg/sql/watched_table.h"

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
}

namespace rtd::pg {

namespace {

constexpr WatchPurpose kServe{
    "serve",
    "Make a topic with a query of it, by rtd_create_topic(), and watch the tables whose rows it "
    "shows.",
    "Make a topic with a query of it, by rtd_create_topic(), and call rtd_refresh() in the "
    "transaction that refreshes it."};

// What is asked for.
struct Request {
    Oid relation = InvalidOid, role = InvalidOid;
    std::string role_name;
    std::optional<std::string> topic, condition;
    std::optional<TextList> columns;
};

Request read_request(const Arguments &arguments) {
    Request request;
    request.relation = arguments.needed_oid(0, "the table to serve");
    request.role = arguments.needed_oid(1, "the role");
    request.role_name = needed_role_name(request.role);
    request.topic = arguments.text(2);
    request.columns = arguments.texts(3);
    request.condition = arguments.text(4);
    return request;
}

// ---- the table ----

struct TableFacts {
    std::string name; // with its schema, quoted
    bool has_row_security = false, has_policy = false, has_children = false;
    std::vector<std::string> primary_key; // in the order of its index
};

TableFacts facts_of(const Registry &registry, const LockedTable &table) {
    Rows found = registry.run(
        "SELECT format('%I.%I', n.nspname, c.relname), c.relrowsecurity,"
        " EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid),"
        " c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),"
        " ARRAY (SELECT a.attname::text FROM pg_index i"
        "  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)"
        "  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
        "  WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid"
        "  AND k.place <= i.indnkeyatts ORDER BY k.place)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
        {oid_value(table.oid())});
    const Row &row = found.rows.at(0);
    TableFacts facts;
    facts.name = row[0].text.value_or("");
    facts.has_row_security = row[1].boolean();
    facts.has_policy = row[2].boolean();
    facts.has_children = row[3].boolean();
    for (const std::optional<std::string> &column : row[4].elements)
        facts.primary_key.push_back(column.value_or(""));
    return facts;
}

std::string identifier(const std::string &name) {
    return call([&] { return quote_identifier(name.c_str()); });
}

std::string listed(const std::vector<std::string> &names) {
    std::string list;
    for (const std::string &name : names)
        list += (list.empty() ? "" : ", ") + name;
    return list;
}

// ---- the query ----

void check_column(const LockedTable &table, const ColumnEntry &entry, const std::string &given) {
    AttrNumber attribute =
        entry.is_table() ? InvalidAttrNumber
                         : call([&] { return get_attnum(table.oid(), entry.column.c_str()); });
    if (attribute <= 0) // the columns that every table has are below
        throw Error(ERRCODE_UNDEFINED_COLUMN,
                    "column " + quoted(entry.is_table() ? given : entry.column) + " of table " +
                        quoted(table.name()) + " does not exist",
                    "It is named in columns. The table has: " + columns_of(table.description()) +
                        ".");
}

std::vector<ColumnEntry> checked_columns(const LockedTable &table, const TextList &given) {
    if (given.empty())
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "columns must not be empty", {},
                    "Leave it out, or give NULL, for all columns.");
    std::vector<ColumnEntry> columns;
    for (const std::optional<std::string> &entry : given) {
        if (!entry)
            throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "an entry of columns must not be null");
        columns.push_back(parse_column_entry(*entry, table.description()));
        check_column(table, columns.back(), *entry);
    }
    return columns;
}

void check_names_differ(const std::vector<ColumnEntry> &columns) {
    for (size_t i = 0; i < columns.size(); i++)
        for (size_t j = 0; j < i; j++)
            if (columns[i].name == columns[j].name)
                throw Error(ERRCODE_DUPLICATE_COLUMN,
                            "the name " + quoted(columns[i].name) + " is given twice in columns",
                            "A row that is sent is a JSON object; its key columns are always in "
                            "it.");
}

// What clients will get, and by what rows are told apart.
struct Plan {
    std::optional<std::vector<ColumnEntry>> columns; // nullopt: all, as they are then
    std::vector<std::string> key;                    // as the query names it; empty: none
    std::vector<std::string> added;                  // to `columns`, because they are in the key
    std::string why_no_key;                          // a sentence
    std::string query;
};

// A row that is nothing but JSON, by which it could not be told apart.
bool is_one_json_value(const LockedTable &table, const Plan &plan) {
    size_t count = 0;
    Oid type = InvalidOid;
    for (int i = 0; i < table.description()->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(table.description(), i);
        auto is_it = [&](const ColumnEntry &entry) {
            return entry.column == NameStr(attribute->attname);
        };
        if (attribute->attisdropped || (plan.columns && std::ranges::none_of(*plan.columns, is_it)))
            continue;
        count++;
        type = call([&] { return getBaseType(attribute->atttypid); });
    }
    return count == 1 && (type == JSONOID || type == JSONBOID);
}

// The key under the names of the query. Columns of the primary key that were not asked for are
// added, in front.
void name_key(const TableFacts &facts, Plan &plan) {
    plan.key = facts.primary_key;
    if (!plan.columns)
        return;
    std::vector<ColumnEntry> missing;
    for (std::string &name : plan.key) {
        auto found = std::ranges::find(*plan.columns, name, &ColumnEntry::column);
        if (found != plan.columns->end()) {
            name = found->name;
        } else {
            missing.push_back({name, name});
            plan.added.push_back(name);
        }
    }
    plan.columns->insert(plan.columns->begin(), missing.begin(), missing.end());
}

void plan_key(const LockedTable &table, const TableFacts &facts, Plan &plan) {
    if (facts.primary_key.empty())
        plan.why_no_key = "Table " + quoted(table.name()) +
                          " has no primary key by which its rows could be told apart.";
    else if (facts.primary_key.size() > KeyedQuery::kMaxColumns)
        plan.why_no_key = "The primary key of table " + quoted(table.name()) + " has more than " +
                          std::to_string(KeyedQuery::kMaxColumns) + " columns.";
    if (!plan.why_no_key.empty())
        return;
    name_key(facts, plan);
    if (is_one_json_value(table, plan)) {
        plan.why_no_key = "Rows of a single JSON column cannot be told apart by a key.";
        plan.key.clear();
    }
}

std::string select_list(const Plan &plan) {
    if (!plan.columns)
        return "*";
    std::string list;
    for (const ColumnEntry &entry : *plan.columns) {
        list += (list.empty() ? "" : ", ") + identifier(entry.column);
        if (entry.name != entry.column)
            list += " AS " + identifier(entry.name);
    }
    return list;
}

// Rows of tables that inherit from an ordinary table are neither seen by its triggers nor told
// apart by its primary key: ONLY leaves them out, those of later children too. A condition may end
// in a comment.
std::string query_of(const LockedTable &table, const TableFacts &facts, const Plan &plan,
                     const std::optional<std::string> &condition) {
    bool is_partitioned = table.get()->rd_rel->relkind != RELKIND_RELATION;
    return "SELECT " + select_list(plan) + " FROM " + (is_partitioned ? "" : "ONLY ") + facts.name +
           (condition ? " WHERE (" + *condition + "\n)" : "");
}

// Looks for a node of the kind `tag` points to.
bool has_node(Node *node, void *tag) {
    if (node == nullptr)
        return false;
    return nodeTag(node) == *static_cast<NodeTag *>(tag) ||
           raw_expression_tree_walker(node, RTD_WALKER(has_node), tag);
}

bool contains(Node *expression, NodeTag tag) {
    return call([&] { return has_node(expression, &tag); });
}

void check_condition(const std::string &condition, const std::string &topic) {
    Node *expression =
        parse_condition(condition, "the WHERE clause of the topic's query", "'status = ''done'''");
    if (contains(expression, T_ParamRef))
        throw Error(ERRCODE_UNDEFINED_PARAMETER, "the condition must not use parameters", {},
                    "A topic with parameters is made by rtd_create_topic().");
    if (contains(expression, T_SubLink))
        notice("the condition has a subquery, and the tables that it reads are not watched",
               "A change of them is seen with the next change of the row, or after "
               "rtd.resync_interval.",
               "Watch them too: SELECT rtd_watch_table('...', '" + topic + "').");
}

Plan make_plan(const LockedTable &table, const TableFacts &facts, const Request &request) {
    Plan plan;
    if (request.columns)
        plan.columns = checked_columns(table, *request.columns);
    plan_key(table, facts, plan);
    if (plan.columns)
        check_names_differ(*plan.columns);
    plan.query = query_of(table, facts, plan, request.condition);
    return plan;
}

// ---- a topic that is there already ----

constexpr char kOtherTopic[] = "Name another topic: topic => '...'. Or drop that one with "
                               "rtd_drop_topic().";

// An event topic whose only use is to tell of all changes of this table: what rtd_watch_table()
// makes, called without a topic.
bool only_tells_of(const Registry &registry, const Topic &topic, Oid relation) {
    if (topic.has_query() || topic.is_durable || !topic.parameters.empty())
        return false;
    Rows sources =
        registry.run("SELECT relation = $2 AND condition IS NULL AND cardinality(operations) = 4"
                     " FROM @.rtd_watch WHERE topic = $1"
                     " UNION ALL SELECT false FROM @.rtd_channel WHERE topic = $1",
                     {text_value(topic.name), oid_value(relation, REGCLASSOID)});
    return sources.rows.size() == 1 && sources.rows[0][0].boolean();
}

// Throws if it is for something else. A table that was dropped has left its topic behind, for the
// one that is made in its place.
void check_may_replace(const Registry &registry, const Topic &topic, const LockedTable &table) {
    check_owner(topic);
    Rows served = registry.run("SELECT s.relation::oid, c.oid IS NOT NULL, s.relation::text"
                               " FROM @.rtd_served_table s"
                               " LEFT JOIN pg_class c ON c.oid = s.relation WHERE s.topic = $1",
                               {text_value(topic.name)});
    if (served.rows.empty()) {
        if (only_tells_of(registry, topic, table.oid()))
            return;
        throw Error(ERRCODE_DUPLICATE_OBJECT,
                    "topic " + quoted(topic.name) +
                        " already exists and was not made by rtd_serve_table()",
                    topic.has_query() ? "Its query is: " + *topic.query
                                      : "It is an event topic that is not fed by this table alone.",
                    kOtherTopic);
    }
    const Row &row = served.rows[0];
    if (row[0].oid() != table.oid() && row[1].boolean())
        throw Error(ERRCODE_DUPLICATE_OBJECT,
                    "topic " + quoted(topic.name) + " already serves table " +
                        row[2].text.value_or(""),
                    {}, kOtherTopic);
}

// Whether there was anything to change.
bool replace_topic(const Registry &registry, const Topic &before, const QueryTopic &wanted,
                   bool has_condition) {
    // The same condition may mean something else under another search_path.
    if (before.query == wanted.query && before.key == wanted.key &&
        before.is_invoker == wanted.is_invoker && !has_condition)
        return false;
    alter_query_topic(registry, wanted);
    return true;
}

// What an earlier watch does besides goes on; the topic itself wants every change. A watch that is
// as it has to be is left alone: new triggers would wait for everybody who reads the table.
void watch(const Registry &registry, const LockedTable &table, const TableFacts &facts,
           const std::string &topic, bool is_other_topic) {
    WatchOptions options;
    options.relation = table.oid();
    options.topic = topic;
    Rows before = registry.run(
        "SELECT channel, audit, columns, problem IS NULL AND enabled AND condition IS NULL"
        " AND cardinality(operations) = 4 AND (key IS NULL OR EXISTS (SELECT FROM pg_trigger g"
        " WHERE g.tgrelid = relation AND g.tgtype & 1 = 1 AND g.tgargs = $3))"
        " FROM @.rtd_watched_tables WHERE relation = $1 AND topic = $2",
        {oid_value(table.oid(), REGCLASSOID), text_value(topic),
         bytes_value(topic + std::string(1, '\0'))});
    if (!before.rows.empty()) {
        const Row &row = before.rows[0];
        if (row[3].boolean() && !is_other_topic)
            return;
        options.channel = row[0].text;
        options.audit = row[1].boolean();
        options.columns = row[2].elements;
    } else if (std::ranges::any_of(facts.primary_key, [](const std::string &column) {
                   return column == "operation" || column == "timestamp";
               })) {
        options.columns = TextList{}; // names of every event's own; nobody sees the payload
    }
    watch_table(registry, options);
}

void note_served(const Registry &registry, const LockedTable &table, const std::string &topic) {
    registry.run("INSERT INTO @.rtd_served_table (topic, relation) VALUES ($1, $2)"
                 " ON CONFLICT (topic) DO UPDATE SET relation = excluded.relation",
                 {text_value(topic), oid_value(table.oid(), REGCLASSOID)});
}

// ---- what the caller is told ----

std::string role_name(Oid role) {
    const char *name = call([&] { return GetUserNameFromId(role, true); });
    return quoted(name != nullptr ? name : "");
}

std::string what_was_made(const LockedTable &table, const Topic &topic, const Topic *before,
                          bool is_changed) {
    std::string made =
        std::string(topic.is_keyed() ? "keyed" : "state") + " topic " + quoted(topic.name);
    if (before == nullptr)
        return "table " + quoted(table.name()) + " is served as " + made;
    return is_changed ? made + " of table " + quoted(table.name()) + " was changed"
                      : "table " + quoted(table.name()) + " is served as " + made + " already";
}

std::string details(const Topic &topic, const Topic *before, bool is_changed, const Plan &plan,
                    const Request &request) {
    std::string detail;
    if (topic.is_keyed())
        detail += "Its key is the primary key (" + listed(topic.key) + "). ";
    if (!plan.added.empty())
        detail += "Added to its columns, because of the key: " + listed(plan.added) + ". ";
    detail += "Role " + quoted(request.role_name) + " may subscribe. ";
    detail += topic.is_invoker
                  ? "The table has row-level security, so the query runs as the role "
                    "of each subscriber. "
                  : "The query runs as the owner of the topic, " + role_name(topic.owner) + ". ";
    detail += "Query: " + topic.query.value_or("");
    if (is_changed && before->query && before->query != topic.query)
        detail += "\nBefore: " + *before->query;
    return detail;
}

void tell_what_was_made(const LockedTable &table, const Topic &topic, const Topic *before,
                        bool is_changed, const Plan &plan, const Request &request) {
    TopicAddress address = address_of(topic.name);
    notice(what_was_made(table, topic, before, is_changed),
           details(topic, before, is_changed, plan, request),
           "Pages connect to " + address.websocket + "\nTo watch it here: curl -N " +
               address.event_stream);
}

void tell_limits(const LockedTable &table, const TableFacts &facts, const Plan &plan) {
    if (plan.key.empty())
        notice("every change of table " + quoted(table.name()) + " sends all its rows again",
               plan.why_no_key,
               facts.primary_key.empty()
                   ? "With a primary key only the rows that changed are sent: ALTER TABLE " +
                         facts.name + " ADD PRIMARY KEY (...), and call rtd_serve_table() again."
                   : "");
    if (facts.has_children)
        notice("rows of tables that inherit from " + quoted(table.name()) + " are not served",
               "Its primary key and its triggers do not cover them.", "Serve them by themselves.");
}

// With row-level security the subscriber's role itself reads the table.
void warn_of_missing_privileges(const Registry &registry, const LockedTable &table,
                                const TableFacts &facts, const Plan &plan, const Request &request) {
    if (!facts.has_row_security)
        return;
    TextList columns;
    for (int i = 0; i < table.description()->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(table.description(), i);
        if (!plan.columns && !attribute->attisdropped)
            columns.emplace_back(NameStr(attribute->attname));
    }
    if (plan.columns)
        for (const ColumnEntry &entry : *plan.columns)
            columns.emplace_back(entry.column);
    Rows may = registry.run(
        "SELECT has_schema_privilege($1, relnamespace, 'USAGE'), quote_ident(nspname),"
        " NOT EXISTS (SELECT FROM unnest($3) AS c WHERE NOT has_column_privilege($1, $2, c, "
        "'SELECT'))"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $2",
        {oid_value(request.role), oid_value(table.oid()), texts_value(columns)});
    const Row &row = may.rows.at(0);
    std::string to_role = " TO " + identifier(request.role_name) + ";", grants;
    if (!row[0].boolean())
        grants += "GRANT USAGE ON SCHEMA " + row[1].text.value_or("") + to_role;
    if (!row[2].boolean())
        grants += (grants.empty() ? "" : " ") + ("GRANT SELECT ON " + facts.name + to_role);
    if (!grants.empty())
        warn(ERRCODE_INSUFFICIENT_PRIVILEGE,
             "role " + quoted(request.role_name) + " cannot read table " + quoted(table.name()) +
                 " yet",
             "The table has row-level security, so the topic's query runs as the subscriber.",
             grants);
    if (!facts.has_policy)
        warn(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
             "table " + quoted(table.name()) + " has row-level security and no policy",
             "Only its owner sees rows of it.", "CREATE POLICY says which rows a role sees.");
}

void serve_table(const Registry &registry, const Request &request) {
    check_may_watch(request.relation, kServe);
    lock_topic(registry, request.topic.value_or(likely_topic_of(request.relation)));
    LockedTable table(request.relation);
    check_can_be_watched(table, kServe);
    std::string name = request.topic ? *request.topic : topic_named_like(table);
    TableFacts facts = facts_of(registry, table);
    if (request.condition)
        check_condition(*request.condition, name);
    Plan plan = make_plan(table, facts, request);

    QueryTopic wanted{name, plan.query, plan.key, facts.has_row_security};
    std::optional<Topic> before = find_topic(registry, name);
    bool is_changed = false;
    if (before) {
        check_may_replace(registry, *before, table);
        is_changed = replace_topic(registry, *before, wanted, request.condition.has_value());
    } else {
        create_query_topic(registry, wanted);
    }
    watch(registry, table, facts, name, !before || is_changed);
    note_served(registry, table, name);
    Topic topic = needed_topic(registry, name);
    grant_on_topic(registry, topic, request.role, "subscribe");

    tell_what_was_made(table, topic, before ? &*before : nullptr, is_changed, plan, request);
    tell_limits(table, facts, plan);
    warn_of_missing_privileges(registry, table, facts, plan, request);
    warn_of_obstacles(registry, topic, request.role_name);
}

} // namespace

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_serve_table) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        serve_table(Registry(arguments.function()), read_request(arguments));
        return 0;
    });
}
