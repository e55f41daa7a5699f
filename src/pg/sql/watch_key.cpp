// See watch_key.h. Runs in backends.
#include "pg/sql/watch_key.h"

#include <memory>

#include "pg/analysis/keyed_query.h"
#include "pg/registry/watch_columns.h"

#include "pg/server/as_owner.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

using Columns = std::optional<std::vector<std::string>>;

// The table's column that the event carries under this name, if there is one.
std::optional<std::string> carried_as(TupleDesc description, const TextList &entries,
                                      const std::string &name) {
    for (const std::optional<std::string> &entry : entries) {
        ColumnEntry column = parse_column_entry(entry.value_or(""), description);
        if (!column.is_table() && column.name == name)
            return column.column;
    }
    return std::nullopt;
}

// What the caller says of a table that the query reads where it cannot be seen, in a function:
// columns that the event carries under the names of the topic's key.
Columns named_as_key(TupleDesc description, const Topic &topic, const TextList &entries) {
    std::vector<std::string> columns;
    for (const std::string &name : topic.key) {
        std::optional<std::string> column = carried_as(description, entries, name);
        if (!column)
            return std::nullopt;
        columns.push_back(*column);
    }
    return columns;
}

bool is_hidden_from(const KeyedQuery &query, Oid table) {
    return query.why_all().empty() && !query.reads(table);
}

void tell_whole(const KeyedQuery &query, const Topic &topic, Oid table) {
    if (!query.why_all().empty())
        return; // said of the topic
    const char *name = call([&] { return get_rel_name(table); });
    bool reads = query.reads(table);
    notice("every change of table " + quoted(name != nullptr ? name : "") + " makes topic " +
               quoted(topic.name) + " be read again as a whole",
           reads ? "Its query does not say by an equality condition which of its rows a row of "
                   "the table concerns."
                 : "Its query does not name the table.",
           reads ? "" : "If a function reads it, name the key: columns => '{order_id AS id}'.");
}

Value key_value(const Columns &key) {
    Value value = texts_value(key ? TextList(key->begin(), key->end()) : TextList{});
    value.null = !key;
    return value;
}

bool store(const Registry &registry, const Topic &topic, Oid table, const WatchKey &key) {
    return registry
               .run("UPDATE @.rtd_watch SET key = $3, key_is_named = $4"
                    " WHERE relation = $1 AND topic = $2 AND key IS DISTINCT FROM $3",
                    {oid_value(table, REGCLASSOID), text_value(topic.name), key_value(key.columns),
                     boolean_value(key.is_named)})
               .affected > 0;
}

struct Watched {
    Oid table;
    bool is_named;
};

std::vector<Watched> watched_into(const Registry &registry, const Topic &topic) {
    std::vector<Watched> watched;
    for (const Row &row :
         registry
             .run("SELECT w.relation::oid, w.key_is_named FROM @.rtd_watch w"
                  " JOIN pg_class c ON c.oid = w.relation WHERE w.topic = $1 ORDER BY 1",
                  {text_value(topic.name)})
             .rows)
        watched.push_back({row[0].oid(), row[1].boolean()});
    return watched;
}

} // namespace

WatchKey derive_watch_key(const Topic &topic, Oid table, TupleDesc description,
                          const std::optional<TextList> &given) {
    if (!topic.is_keyed())
        return {};
    WatchKey key;
    as_owner(topic.owner, topic.search_path, [&] {
        KeyedQuery query(*topic.query, topic.parameters.size(), topic.key);
        key.columns = query.columns_of(table);
        if (!key.columns && given && is_hidden_from(query, table)) {
            key.columns = named_as_key(description, topic, *given);
            key.is_named = key.columns.has_value();
        }
        if (!key.columns)
            tell_whole(query, topic, table);
    });
    return key;
}

bool derive_watch_keys(const Registry &registry, const Topic &topic, bool keeps_named,
                       Telling telling) {
    std::vector<std::pair<Oid, WatchKey>> keys;
    std::vector<Watched> watched = watched_into(registry, topic);
    if (!topic.is_keyed()) {
        for (const Watched &watch : watched)
            keys.emplace_back(watch.table, WatchKey{});
    } else if (!watched.empty()) {
        as_owner(topic.owner, topic.search_path, [&] {
            KeyedQuery query(*topic.query, topic.parameters.size(), topic.key);
            for (const Watched &watch : watched) {
                WatchKey key{query.columns_of(watch.table)};
                if (!key.columns && watch.is_named && keeps_named &&
                    is_hidden_from(query, watch.table))
                    continue;
                if (!key.columns && telling == Telling::by_notice)
                    tell_whole(query, topic, watch.table);
                keys.emplace_back(watch.table, std::move(key));
            }
        });
    }
    bool changed = false;
    for (const auto &[table, key] : keys)
        changed = store(registry, topic, table, key) || changed;
    return changed;
}

bool forget_watch_keys(const Registry &registry, const Topic &topic) {
    bool changed = false;
    for (const Watched &watch : watched_into(registry, topic))
        changed = store(registry, topic, watch.table, {}) || changed;
    return changed;
}

} // namespace rtd::pg
