#include "pg/hub/topic_loader.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <map>
#include <stdexcept>

#include "core/names.h"
#include "pg/server/attempt.h"
#include "pg/server/report.h"
#include "pg/server/statement.h"
#include "pg/server/worker_transaction.h"
#include "pg/value/stored_parameter.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

constexpr int64_t kMaxIntervalMs = 24 * 3600 * 1000;

// A row that rtd's functions would not have written: a superuser did, or another version. It is
// left out, so that all others are served.
class Unusable : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

const std::string &value(const Row &row, size_t column, const char *name) {
    if (!row.at(column).text)
        throw Unusable(std::string(name) + " is missing");
    return *row[column].text;
}

int64_t number(const Row &row, size_t column, const char *name) {
    const std::string &digits = value(row, column, name);
    int64_t number = 0;
    auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || rest != digits.data() + digits.size())
        throw Unusable(std::string(name) + " is out of range");
    return number;
}

int64_t number_between(const Row &row, size_t column, const char *name, int64_t least,
                       int64_t most) {
    int64_t found = number(row, column, name);
    if (found < least || found > most)
        throw Unusable(std::string(name) + " is out of range");
    return found;
}

// The elements of an array, which the statement gave as a row for each.
using Lists = std::map<std::string, std::vector<std::optional<std::string>>>;

std::vector<std::string> elements(Lists &lists, const std::string &owner, const char *name) {
    std::vector<std::string> elements;
    for (std::optional<std::string> &element : lists[owner]) {
        if (!element)
            throw Unusable(std::string(name) + " has an element that is NULL");
        elements.push_back(std::move(*element));
    }
    return elements;
}

// NULL where it is infinite.
std::string milliseconds(const std::string &column) {
    return "CASE WHEN isfinite(" + column + ") THEN (extract(epoch FROM " + column +
           ") * 1000)::bigint END";
}

// Which rows of a table are read.
struct Selection {
    std::string condition;                   // with a leading space, or empty: all
    std::optional<uint32_t> oldest_xid = {}; // what the condition compares with
};

// Circular, as transaction ids are; a row that was frozen is older than any.
Selection rows_since(uint64_t oldest_xid) {
    return {" WHERE age(xmin) <= age($1::text::xid)", static_cast<uint32_t>(oldest_xid)};
}

std::vector<Row> rows_of(const Catalog &catalog, const std::string &statement,
                         const Selection &selection = {}) {
    std::vector<Value> values;
    if (selection.oldest_xid)
        values.push_back(text_value(std::to_string(*selection.oldest_xid)));
    return Statement(home_in(catalog.schema), statement).run(values).rows;
}

Lists load_lists(const Catalog &catalog, const std::string &column, const Selection &selection) {
    Lists lists;
    for (const Row &row : rows_of(catalog,
                                  "SELECT name, element FROM @.rtd_topic, unnest(" + column +
                                      ") WITH ORDINALITY AS e (element, position)" +
                                      selection.condition + " ORDER BY name, position",
                                  selection))
        lists[value(row, 0, "name")].push_back(row.at(1).text);
    return lists;
}

// What rtd_create_topic() or rtd_watch_table() found out about parameters.
class ParameterTypes {
  public:
    ParameterTypes(const Catalog &catalog, const Selection &selection)
        : types_(load_lists(catalog, "parameter_types", selection)),
          collations_(load_lists(catalog, "parameter_collations", selection)) {}

    std::vector<ParameterType> of(const std::string &topic) {
        const auto &types = types_[topic], &collations = collations_[topic];
        std::vector<ParameterType> found;
        for (size_t i = 0; i < std::min(types.size(), collations.size()); i++)
            found.push_back(find(types[i], collations[i]));
        return found;
    }

  private:
    using Names = std::pair<std::optional<std::string>, std::optional<std::string>>;

    // Topics share few types, and a name that is none must not cost the transaction.
    ParameterType find(const std::optional<std::string> &type,
                       const std::optional<std::string> &collation) {
        auto known = found_.find({type, collation});
        if (known != found_.end())
            return known->second;
        ParameterType found;
        if (std::optional<Error> failed =
                attempt([&] { found = stored_parameter_type(type, collation); }))
            throw Unusable("parameter_types: " + failed->message());
        found_.emplace(Names{type, collation}, found);
        return found;
    }

    Lists types_, collations_;
    std::map<Names, ParameterType> found_;
};

link::TopicKind kind_of(const std::string &name) {
    if (name == "keyed")
        return link::TopicKind::keyed;
    if (name == "state")
        return link::TopicKind::state;
    if (name == "event")
        return link::TopicKind::event;
    throw Unusable("kind is unknown");
}

std::shared_ptr<const Topic> topic_of(const Row &row, Lists &parameters, Lists &keys,
                                      ParameterTypes &types) {
    auto topic = std::make_shared<Topic>();
    topic->name = value(row, 0, "name");
    if (Result<std::string> name = check_topic_name(topic->name); !name)
        throw Unusable(name.error());
    topic->kind = kind_of(value(row, 1, "kind"));
    topic->owner = static_cast<uint32_t>(number(row, 2, "owner"));
    topic->query = row.at(3).text.value_or("");
    topic->search_path = value(row, 4, "search_path");
    topic->type = value(row, 5, "type");
    topic->throttle_ms = number_between(row, 6, "throttle", 0, kMaxIntervalMs);
    topic->debounce_ms = number_between(row, 7, "debounce", 0, kMaxIntervalMs);
    topic->refresh_ms = number_between(row, 8, "refresh", 0, kMaxIntervalMs);
    topic->retain = number(row, 9, "retain") != 0;
    topic->version = static_cast<uint64_t>(number(row, 10, "version"));
    topic->generation = static_cast<uint64_t>(number(row, 11, "created_at"));
    topic->is_invoker = number(row, 12, "security") != 0;
    topic->significant = row.at(13).text.value_or("");
    topic->history = number_between(row, 14, "history", 0, INT_MAX);
    topic->is_durable = number(row, 15, "durable") != 0;
    topic->shape = number(row, 17, "shape") != 0 ? ResultShape::value : ResultShape::rows;
    topic->parameters = elements(parameters, topic->name, "parameters");
    topic->parameter_types = types.of(topic->name);
    topic->key = elements(keys, topic->name, "key");
    if (topic->type.empty())
        throw Unusable("type is empty");
    if (number(row, 16, "parameters") > 1)
        throw Unusable("parameters or key have more than one dimension");
    if ((topic->kind == link::TopicKind::event) != topic->query.empty())
        throw Unusable("kind and query do not fit");
    if ((topic->kind == link::TopicKind::keyed) == topic->key.empty())
        throw Unusable("kind and key do not fit");
    return topic;
}

// `take` gets each topic, or, if its row is unusable, its name and why.
template <class Take>
void load_topics(const Catalog &catalog, const Selection &selection, const Take &take) {
    Lists parameters = load_lists(catalog, "parameters", selection);
    Lists keys = load_lists(catalog, "key", selection);
    ParameterTypes types(catalog, selection);
    // A topic and a namesake that was dropped before it differ in created_at.
    std::string sql = "SELECT name, kind, owner::oid, query, search_path, type, " +
                      milliseconds("throttle") + ", " + milliseconds("debounce") +
                      ", CASE WHEN refresh IS NULL THEN 0 ELSE " + milliseconds("refresh") +
                      " END, retain::int, version, CASE WHEN isfinite(created_at) THEN"
                      " (extract(epoch FROM created_at) * 1000000)::bigint END,"
                      " (security = 'invoker')::int, significant, history,"
                      " durable::int, greatest(array_ndims(parameters), array_ndims(key), 1),"
                      " coalesce(shape = 'value', false)::int FROM @.rtd_topic" +
                      selection.condition;
    for (const Row &row : rows_of(catalog, sql, selection)) {
        try {
            take(topic_of(row, parameters, keys, types), "", "");
        } catch (const Unusable &problem) {
            take(nullptr, row.at(0).text.value_or(""), problem.what());
        }
    }
}

void load_all_topics(Catalog &catalog) {
    load_topics(catalog, {},
                [&](const std::shared_ptr<const Topic> &topic, const std::string &name,
                    const std::string &problem) {
                    if (topic != nullptr)
                        catalog.topics[topic->name] = topic;
                    else
                        report(WARNING, "topic \"" + name + "\" is not served: " + problem,
                               "Its row in rtd_topic was not written by rtd_create_topic() or "
                               "rtd_alter_topic().");
                });
}

void check_channel(const std::string &name) {
    if (name.empty() || name.size() >= NAMEDATALEN)
        throw Unusable("its name does not have 1 to " + std::to_string(NAMEDATALEN - 1) + " bytes");
}

void load_channels(Catalog &catalog) {
    std::map<std::pair<std::string, std::string>, Channel> channels;
    Lists parameters;
    for (const Row &row : rows_of(
             catalog, "SELECT channel, topic, parameter, position FROM @.rtd_channel"
                      " LEFT JOIN LATERAL unnest(parameters) WITH ORDINALITY"
                      " AS p (parameter, position) ON true ORDER BY channel, topic, position")) {
        Channel &channel = channels[{value(row, 0, "channel"), value(row, 1, "topic")}];
        channel.name = value(row, 0, "channel");
        channel.topic = value(row, 1, "topic");
        if (row.at(3).text)
            parameters[channel.name + '\n' + channel.topic].push_back(row.at(2).text);
    }
    for (auto &[key, channel] : channels) {
        try {
            check_channel(channel.name);
            channel.parameters =
                elements(parameters, channel.name + '\n' + channel.topic, "parameters");
            catalog.channels.push_back(std::move(channel));
        } catch (const Unusable &problem) {
            report(WARNING,
                   "channel \"" + std::string(beginning_of(key.first, NAMEDATALEN)) +
                       "\" is not listened to for topic \"" + key.second + "\": " + problem.what(),
                   "Its row in rtd_channel was not written by rtd_listen().");
        }
    }
}

// Adds to those that are there.
void load_grants(const Catalog &catalog, const Selection &selection, Catalog::Grants &subscribe,
                 Catalog::Grants &publish) {
    for (const Row &row :
         rows_of(catalog,
                 "SELECT topic, role::oid, (privilege = 'publish')::int FROM @.rtd_topic_grant" +
                     selection.condition,
                 selection)) {
        bool publishes = number(row, 2, "privilege") != 0;
        (publishes ? publish : subscribe).emplace(value(row, 0, "topic"), number(row, 1, "role"));
    }
}

CatalogMarks read_marks(const Catalog &catalog) {
    std::vector<Row> rows = rows_of(
        catalog, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text,"
                 " (SELECT count(*) FROM @.rtd_topic), (SELECT count(*) FROM @.rtd_topic_grant),"
                 " (SELECT count(*) FROM @.rtd_channel)");
    auto count = [&](size_t column) {
        return static_cast<size_t>(number(rows.at(0), column, "count"));
    };
    return {count(0), count(1), count(2), count(3)};
}

bool has_new_channels(const Catalog &catalog, const Selection &selection) {
    return !rows_of(catalog, "SELECT 1 FROM @.rtd_channel" + selection.condition + " LIMIT 1",
                    selection)
                .empty();
}

// Transaction ids of 32 bits tell apart what is not further away.
constexpr uint64_t kMostTransactions = 1'000'000'000;

// Whether what was known and what changed since is all that there is.
bool is_all(const Catalog &known, const CatalogChange &change) {
    size_t topics = known.topics.size();
    size_t grants = known.subscribe_grants.size() + known.publish_grants.size();
    for (const std::shared_ptr<const Topic> &topic : change.topics)
        topics += known.topics.contains(topic->name) ? 0 : 1;
    for (const auto &grant : change.subscribe_grants)
        grants += known.subscribe_grants.contains(grant) ? 0 : 1;
    for (const auto &grant : change.publish_grants)
        grants += known.publish_grants.contains(grant) ? 0 : 1;
    return topics == change.marks.topics && grants == change.marks.grants &&
           known.marks.channels == change.marks.channels;
}

} // namespace

std::string extension_version() {
    std::string version;
    in_transaction([&] {
        std::optional<Home> home = find_home();
        if (!home)
            return;
        Statement statement(*home, "SELECT extversion FROM pg_extension WHERE extname = 'rtd'");
        for (const Row &row : statement.run({}).rows)
            version = value(row, 0, "extversion");
    });
    return version;
}

Catalog load_catalog() {
    Catalog catalog;
    in_transaction([&] {
        std::optional<Home> home = find_home();
        if (!home)
            return;
        catalog.schema = home->schema_name;
        catalog.marks = read_marks(catalog);
        load_all_topics(catalog);
        load_grants(catalog, {}, catalog.subscribe_grants, catalog.publish_grants);
        load_channels(catalog);
    });
    return catalog;
}

std::optional<CatalogChange> load_change(const Catalog &known) {
    std::optional<CatalogChange> found;
    in_transaction([&] {
        std::optional<Home> home = find_home();
        if (!home || home->schema_name != known.schema)
            return;
        CatalogChange change;
        change.marks = read_marks(known);
        Selection changed = rows_since(known.marks.oldest_xid);
        if (change.marks.oldest_xid - known.marks.oldest_xid > kMostTransactions ||
            has_new_channels(known, changed))
            return;
        bool is_usable = true;
        load_topics(known, changed,
                    [&](const std::shared_ptr<const Topic> &topic, const std::string &,
                        const std::string &) {
                        is_usable = is_usable && topic != nullptr;
                        change.topics.push_back(topic);
                    });
        if (!is_usable)
            return;
        load_grants(known, changed, change.subscribe_grants, change.publish_grants);
        if (is_all(known, change))
            found = std::move(change);
    });
    return found;
}

} // namespace rtd::pg
