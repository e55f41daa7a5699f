#include "pg/catalog.h"

#include <map>

#include "pg/worker_transaction.h"

#include "pg/prelude.h"

extern "C" {
#include "catalog/pg_extension.h"
}

namespace rtd::pg {

namespace {

const std::string &value(const Row &row, size_t column) {
    return row.at(column).value();
}

int64_t number(const Row &row, size_t column) {
    return std::stoll(value(row, column));
}

constexpr char kMilliseconds[] = "(extract(epoch FROM %) * 1000)::bigint";

std::string milliseconds(const std::string &column) {
    std::string sql = kMilliseconds;
    return sql.replace(sql.find('%'), 1, column);
}

// The elements of a text[] column of rtd_topic, by topic.
std::map<std::string, std::vector<std::string>> load_lists(const Catalog &catalog,
                                                           const std::string &column) {
    std::map<std::string, std::vector<std::string>> lists;
    for (const Row &row :
         run_sql("SELECT name, element FROM " + catalog.schema + ".rtd_topic, unnest(" + column +
                     ") WITH ORDINALITY AS e (element, position) "
                     "ORDER BY name, position",
                 {}, true))
        lists[value(row, 0)].push_back(value(row, 1));
    return lists;
}

link::TopicKind kind_of(const std::string &name) {
    return name == "keyed"   ? link::TopicKind::keyed
           : name == "state" ? link::TopicKind::state
                             : link::TopicKind::event;
}

void load_topics(Catalog &catalog) {
    auto parameters = load_lists(catalog, "parameters");
    auto keys = load_lists(catalog, "key");
    // A topic and a namesake that was dropped before it differ in created_at.
    std::string sql = "SELECT name, kind, owner::oid, query, search_path, type, " +
                      milliseconds("throttle") + ", " + milliseconds("debounce") + ", " +
                      milliseconds("coalesce(refresh, '0')") +
                      ", retain::int, version, (extract(epoch FROM created_at) * 1000000)::bigint,"
                      " (security = 'invoker')::int, coalesce(significant::oid, 0), history,"
                      " durable::int, coalesce(shape = 'value', false)::int FROM " +
                      catalog.schema + ".rtd_topic";
    for (const Row &row : run_sql(sql, {}, true)) {
        auto topic = std::make_shared<Topic>();
        topic->name = value(row, 0);
        topic->kind = kind_of(value(row, 1));
        topic->owner = static_cast<uint32_t>(number(row, 2));
        topic->query = row.at(3).value_or("");
        topic->search_path = value(row, 4);
        topic->type = value(row, 5);
        topic->throttle_ms = number(row, 6);
        topic->debounce_ms = number(row, 7);
        topic->refresh_ms = number(row, 8);
        topic->retain = number(row, 9) != 0;
        topic->version = static_cast<uint64_t>(number(row, 10));
        topic->generation = static_cast<uint64_t>(number(row, 11));
        topic->is_invoker = number(row, 12) != 0;
        topic->significant = static_cast<uint32_t>(number(row, 13));
        topic->history = number(row, 14);
        topic->is_durable = number(row, 15) != 0;
        topic->shape = number(row, 16) != 0 ? ResultShape::value : ResultShape::rows;
        topic->parameters = std::move(parameters[topic->name]);
        topic->key = std::move(keys[topic->name]);
        catalog.topics[topic->name] = topic;
    }
}

void load_channels(Catalog &catalog) {
    std::map<std::pair<std::string, std::string>, Channel> channels;
    for (const Row &row :
         run_sql("SELECT channel, topic, parameter FROM " + catalog.schema +
                     ".rtd_channel LEFT JOIN LATERAL unnest(parameters) WITH ORDINALITY "
                     "AS p (parameter, position) ON true ORDER BY channel, topic, position",
                 {}, true)) {
        Channel &channel = channels[{value(row, 0), value(row, 1)}];
        channel.name = value(row, 0);
        channel.topic = value(row, 1);
        if (row.at(2))
            channel.parameters.push_back(*row[2]);
    }
    for (auto &[key, channel] : channels)
        catalog.channels.push_back(std::move(channel));
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
                               0);
        load_topics(catalog);
        for (const Row &row : run_sql("SELECT topic, role::oid FROM " + catalog.schema +
                                          ".rtd_topic_grant WHERE privilege = 'subscribe'",
                                      {}, true))
            catalog.subscribe_grants.emplace(value(row, 0), number(row, 1));
        load_channels(catalog);
    });
    return catalog;
}

} // namespace rtd::pg
