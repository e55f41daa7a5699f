// See topic_address.h.
#include "pg/sql/topic_address.h"

#include <algorithm>

#include "pg/registry/watch_columns.h"
#include "pg/server/settings.h"
#include "pg/shared/shared_state.h"

#include "pg/server/prelude.h"

extern "C" {
#include "commands/dbcommands.h"
#include "mb/pg_wchar.h"
#include "utils/varlena.h"
}

namespace rtd::pg {

namespace {

std::vector<std::string> listened_addresses() {
    std::vector<std::string> addresses;
    List *names = NIL;
    bool valid = call([&] { return SplitGUCList(pstrdup(listen_addresses), ',', &names); });
    ListCell *cell;
    if (valid)
        foreach (cell, names)
            addresses.emplace_back(static_cast<const char *>(lfirst(cell)));
    return addresses;
}

bool includes_localhost(const std::string &address) {
    for (const char *here : {"localhost", "*", "0.0.0.0", "::", "127.0.0.1", "::1"})
        if (address == here)
            return true;
    return false;
}

// What is listened on, as a host of a URL.
std::string host() {
    std::vector<std::string> addresses = listened_addresses();
    if (addresses.empty() || std::ranges::any_of(addresses, includes_localhost))
        return "localhost";
    bool is_v6 = addresses[0].find(':') != std::string::npos;
    return is_v6 ? "[" + addresses[0] + "]" : addresses[0];
}

// A string constant of SQL.
std::string literal(const std::string &text) {
    return call([&] { return quote_literal_cstr(text.c_str()); });
}

void warn_not_served(const std::string &reason, const std::string &hint) {
    warn(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "no client can subscribe yet: " + reason, {},
         hint);
}

// True if a hub serves this database, or will once it has started.
bool check_hub() {
    std::string here = call([] { return get_database_name(MyDatabaseId); });
    if (GetDatabaseEncoding() != PG_UTF8)
        warn_not_served("the encoding of database " + quoted(here) + " is " +
                            GetDatabaseEncodingName() + ", and rtd serves UTF8",
                        "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, move the tables "
                        "there, and set rtd.database to it.");
    else if (shared == nullptr)
        warn_not_served("rtd is not preloaded",
                        "Add rtd to shared_preload_libraries, set rtd.database to " +
                            literal(here) + ", and restart the server.");
    else if (here != database)
        warn_not_served("rtd serves database " + quoted(database) + ", and this is " + quoted(here),
                        "ALTER SYSTEM SET rtd.database = " + literal(here) +
                            ", and restart the server; or call this in the database that is "
                            "served.");
    else
        return true;
    return false;
}

bool may_subscribe(const Registry &registry, const Topic &topic, Oid client) {
    if (call([&] { return has_privs_of_role(client, topic.owner); }))
        return true;
    Rows granted = registry.run("SELECT role::oid FROM @.rtd_topic_grant"
                                " WHERE topic = $1 AND privilege = 'subscribe'",
                                {text_value(topic.name)});
    return std::ranges::any_of(granted.rows, [&](const Row &row) {
        Oid role = row[0].oid();
        return call([&] { return has_privs_of_role(client, role); });
    });
}

} // namespace

TopicAddress address_of(const std::string &topic) {
    bool is_tls = ssl_cert_file[0] != '\0' && ssl_key_file[0] != '\0';
    std::string place = "://" + host() + ":" + std::to_string(port);
    return {(is_tls ? "wss" : "ws") + place + "/ws/" + topic,
            (is_tls ? "https" : "http") + place + "/sse/" + topic};
}

void warn_of_obstacles(const Registry &registry, const Topic &topic, const std::string &granted) {
    if (!check_hub())
        return;
    std::string client = anonymous_role;
    std::string set_role =
        "ALTER SYSTEM SET rtd.anonymous_role = " + literal(granted) + "; SELECT pg_reload_conf();";
    if (client.empty())
        return warn(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "clients that do not sign in are refused",
                    "rtd.anonymous_role, the role that they have, is empty.",
                    "Let them be the role that may subscribe: " + set_role);
    Oid role = call([&] { return get_role_oid(client.c_str(), true); });
    if (!OidIsValid(role))
        return warn(ERRCODE_UNDEFINED_OBJECT, "clients that do not sign in are refused",
                    "Their role, rtd.anonymous_role, is " + quoted(client) +
                        ", which does not exist.",
                    "Create it, or let them be another: " + set_role);
    if (!may_subscribe(registry, topic, role))
        warn(ERRCODE_INSUFFICIENT_PRIVILEGE,
             "clients that do not sign in may not subscribe to topic " + quoted(topic.name),
             "Their role, rtd.anonymous_role, is " + quoted(client) +
                 ", to which it is not granted.",
             "SELECT rtd_grant(" + literal(topic.name) + ", " + literal(client) +
                 "); or let them be another role: " + set_role);
}

} // namespace rtd::pg
