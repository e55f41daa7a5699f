#include "pg/hub/topic_loader.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <map>
#include <stdexcept>

#include "core/names.h"
#include "pg/server/attempt.h"
#include "pg/server/report.h"
#include "pg/server/worker_transaction.h"
#include "pg/value/stored_parameter.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/pg_extension.h"
}

namespace rtd::pg {

namespace {

constexpr int64_t kMaxIntervalMs = 24 * 3600 * 1000;

// A row that rtd's functions would not have written: a superuser did, or another version. It is
// left out, so that all others are served.
class Unusable : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

const std::string &value(const Row &row, size_t column, const char *name) {
    if (!row.at(column))
        throw Unusable(std::string(name) + " is missing");
    return *row[column];
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

Lists load_lists(const Catalog &catalog, const std::string &column) {
    Lists lists;
    for (const Row &row :
         run_sql("SELECT name, element FROM " + catalog.schema + ".rtd_topic, unnest(" + column +
                     ") WITH ORDINALITY AS e (element, position) "
                     "ORDER BY name, position",
                 {}, true))
        lists[value(row, 0, "name")].push_back(row.at(1));
    return lists;
}

// What rtd_create_topic() or rtd_watch_table() found out about parameters.
class ParameterTypes {
  public:
    explicit ParameterTypes(const Catalog &catalog)
        : types_(load_lists(catalog, "parameter_types")),
          collations_(load_lists(catalog, "parameter_collations")) {}

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
    topic->query = row.at(3).value_or("");
    topic->search_path = value(row, 4, "search_path");
    topic->type = value(row, 5, "type");
    topic->throttle_ms = number_between(row, 6, "throttle", 0, kMaxIntervalMs);
    topic->debounce_ms = number_between(row, 7, "debounce", 0, kMaxIntervalMs);
    topic->refresh_ms = number_between(row, 8, "refresh", 0, kMaxIntervalMs);
    topic->retain = number(row, 9, "retain") != 0;
    topic->version = static_cast<uint64_t>(number(row, 10, "version"));
    topic->generation = static_cast<uint64_t>(number(row, 11, "created_at"));
    topic->is_invoker = number(row, 12, "security") != 0;
    topic->significant = row.at(13).value_or("");
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

void load_topics(Catalog &catalog) {
    Lists parameters = load_lists(catalog, "parameters");
    Lists keys = load_lists(catalog, "key");
    ParameterTypes types(catalog);
    // A topic and a namesake that was dropped before it differ in created_at.
    std::string sql = "SELECT name, kind, owner::oid, query, search_path, type, " +
                      milliseconds("throttle") + ", " + milliseconds("debounce") +
                      ", CASE WHEN refresh IS NULL THEN 0 ELSE " + milliseconds("refresh") +
                      " END, retain::int, version, CASE WHEN isfinite(created_at) THEN"
                      " (extract(epoch FROM created_at) * 1000000)::bigint END,"
                      " (security = 'invoker')::int, significant, history,"
                      " durable::int, greatest(array_ndims(parameters), array_ndims(key), 1),"
                      " coalesce(shape = 'value', false)::int FROM " +
                      catalog.schema + ".rtd_topic";
    for (const Row &row : run_sql(sql, {}, true)) {
        try {
            std::shared_ptr<const Topic> topic = topic_of(row, parameters, keys, types);
            catalog.topics[topic->name] = topic;
        } catch (const Unusable &problem) {
            report(WARNING,
                   "topic \"" + row.at(0).value_or("") + "\" is not served: " + problem.what(),
                   "Its row in rtd_topic was not written by rtd_create_topic() or "
                   "rtd_alter_topic().");
        }
    }
}

void check_channel(const std::string &name) {
    if (name.empty() || name.size() >= NAMEDATALEN)
        throw Unusable("its name does not have 1 to " + std::to_string(NAMEDATALEN - 1) + " bytes");
}

void load_channels(Catalog &catalog) {
    std::map<std::pair<std::string, std::string>, Channel> channels;
    Lists parameters;
    for (const Row &row :
         run_sql("SELECT channel, topic, parameter, position FROM " + catalog.schema +
                     ".rtd_channel LEFT JOIN LATERAL unnest(parameters) WITH ORDINALITY "
                     "AS p (parameter, position) ON true ORDER BY channel, topic, position",
                 {}, true)) {
        Channel &channel = channels[{value(row, 0, "channel"), value(row, 1, "topic")}];
        channel.name = value(row, 0, "channel");
        channel.topic = value(row, 1, "topic");
        if (row.at(3))
            parameters[channel.name + '\n' + channel.topic].push_back(row.at(2));
    }
    for (auto &[key, channel] : channels) {
        try {
            check_channel(channel.name);
            channel.parameters =
                elements(parameters, channel.name + '\n' + channel.topic, "parameters");
            catalog.channels.push_back(std::move(channel));
        } catch (const Unusable &problem) {
            report(WARNING,
                   "channel \"" + key.first.substr(0, NAMEDATALEN) +
                       "\" is not listened to for topic \"" + key.second + "\": " + problem.what(),
                   "Its row in rtd_channel was not written by rtd_listen().");
        }
    }
}

void load_grants(const Catalog &catalog, const char *privilege, Catalog::Grants &grants) {
    for (const Row &row : run_sql("SELECT topic, role::oid FROM " + catalog.schema +
                                      ".rtd_topic_grant WHERE privilege = '" + privilege + "'",
                                  {}, true))
        grants.emplace(value(row, 0, "topic"), number(row, 1, "role"));
}

} // namespace

Catalog load_catalog() {
    Catalog catalog;
    in_transaction([&] {
        Oid extension = call([] { return get_extension_oid("rtd", true); });
        if (!OidIsValid(extension))
            return;
        catalog.schema = value(run_sql("SELECT quote_ident(nspname) FROM pg_catalog.pg_extension "
                                       "JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace "
                                       "WHERE extname = 'rtd'",
                                       {}, true)
                                   .at(0),
                               0, "schema");
        load_topics(catalog);
        load_grants(catalog, "subscribe", catalog.subscribe_grants);
        load_grants(catalog, "publish", catalog.publish_grants);
        load_channels(catalog);
    });
    return catalog;
}

} // namespace rtd::pg
