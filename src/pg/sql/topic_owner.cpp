// See topic_owner.h. Runs in backends.
#include "pg/sql/topic_owner.h"

#include "pg/sql/topic_definition.h"
#include "pg/sql/watch.h"
#include "pg/writer/pending_events.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
}

namespace rtd::pg {

namespace {

Value oids_value(const std::vector<Oid> &oids) {
    TextList texts;
    for (Oid oid : oids)
        texts.emplace_back(std::to_string(oid));
    return texts_value(texts);
}

std::string list_of(const Rows &names) {
    std::string list;
    for (const Row &row : names.rows)
        list += (list.empty() ? "" : ", ") + row[0].text.value_or("");
    return list;
}

} // namespace

void check_may_create(Oid role) {
    if (call([&] { return RTD_MAY_CREATE_IN_DATABASE(role); }))
        return;
    const char *database = call([] { return get_database_name(MyDatabaseId); });
    throw Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                std::string("permission denied to create a topic in database \"") + database + "\"",
                "A topic needs the CREATE privilege on its database.",
                "Ask the owner of the database to GRANT CREATE ON DATABASE.");
}

void check_new_owner(const Topic &topic, Oid role) {
    check_owner(topic);
    if (call([&] { return GetUserNameFromId(role, true); }) == nullptr)
        throw Error(ERRCODE_UNDEFINED_OBJECT,
                    "role with OID " + std::to_string(role) + " does not exist");
    call([&] { RTD_CHECK_CAN_SET_ROLE(GetUserId(), role); });
    check_may_create(role);
}

void reassign_topics(const Registry &registry, const std::vector<Oid> &roles, Oid new_owner) {
    Rows moved = registry.run("UPDATE @.rtd_topic SET owner = $2, version = version + 1"
                              " WHERE owner::oid = ANY ($1::oid[]) RETURNING name",
                              {oids_value(roles), oid_value(new_owner, REGROLEOID)});
    if (moved.rows.empty())
        return;
    for (const Row &row : moved.rows) {
        Topic topic = needed_topic(registry, row[0].text.value_or(""));
        rederive_topic(registry, topic); // "$user" in the search_path is the owner
        forget_watches_of(registry, topic.name);
    }
    note_catalog_change();
}

void drop_topics_of(const Registry &registry, const std::vector<Oid> &roles) {
    Rows owned = registry.run("SELECT name FROM @.rtd_topic WHERE owner::oid = ANY ($1::oid[])"
                              " ORDER BY name",
                              {oids_value(roles)});
    for (const Row &row : owned.rows) {
        drop_watches_of(registry, row[0].text.value_or(""));
        registry.run("DELETE FROM @.rtd_topic WHERE name = $1", {text_value(row[0].text)});
    }
    registry.run("DELETE FROM @.rtd_topic_grant WHERE role::oid = ANY ($1::oid[])",
                 {oids_value(roles)});
    note_catalog_change();
}

void forget_grants_of_dropped_roles(const Registry &registry, const std::string &topic) {
    registry.run("DELETE FROM @.rtd_topic_grant WHERE topic = $1 AND NOT EXISTS"
                 " (SELECT FROM pg_roles r WHERE r.oid = role)",
                 {text_value(topic)});
}

void forget_dropped_roles(const Registry &registry) {
    // What somebody else is about to remove is left to them.
    registry.run("DELETE FROM @.rtd_topic_grant g USING (SELECT topic, role, privilege"
                 " FROM @.rtd_topic_grant WHERE NOT EXISTS"
                 " (SELECT FROM pg_roles r WHERE r.oid = role) FOR UPDATE SKIP LOCKED) AS gone"
                 " WHERE (g.topic, g.role, g.privilege) ="
                 " (gone.topic, gone.role, gone.privilege)",
                 {});
    Rows left = registry.run("SELECT name FROM @.rtd_topic WHERE NOT EXISTS"
                             " (SELECT FROM pg_roles r WHERE r.oid = owner) ORDER BY name",
                             {});
    if (!left.rows.empty())
        warn(ERRCODE_WARNING, "the owner of " + counted(left.rows.size(), "topic") + " was dropped",
             "Without an owner is: " + list_of(left) + ".",
             "Give each another one: rtd_alter_topic(..., owner => ...); or rtd_drop_topic().");
}

} // namespace rtd::pg
