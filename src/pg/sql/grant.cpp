// rtd_grant() and rtd_revoke(): which roles may subscribe or publish to a topic. Runs in backends.
// The owner of a topic, its members and superusers need no grant.
#include "pg/sql/grant.h"

#include "pg/registry/topic.h"
#include "pg/sql/topic_owner.h"
#include "pg/writer/pending_events.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

struct Grant {
    Topic topic;
    Oid role;
    std::string role_name;
    std::string privilege;
};

Grant checked_grant(const Registry &registry, const Arguments &arguments) {
    std::string name = arguments.needed_text(0, "the topic");
    Oid role = arguments.needed_oid(1, "the role");
    std::string privilege = arguments.text(2).value_or("subscribe");
    if (privilege != "subscribe" && privilege != "publish")
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                    "\"" + privilege + "\" is not a privilege of topics",
                    "A role is granted 'subscribe' or 'publish'.");
    Grant grant{needed_topic(registry, name), role, needed_role_name(role), privilege};
    check_owner(grant.topic);
    return grant;
}

} // namespace

std::string needed_role_name(Oid role) {
    const char *name = call([&] { return GetUserNameFromId(role, true); });
    if (name == nullptr)
        throw Error(ERRCODE_UNDEFINED_OBJECT,
                    "role with OID " + std::to_string(role) + " does not exist");
    return name;
}

void grant_on_topic(const Registry &registry, const Topic &topic, Oid role,
                    const std::string &privilege) {
    registry.run("INSERT INTO @.rtd_topic_grant (topic, role, privilege) VALUES ($1, $2, $3)"
                 " ON CONFLICT DO NOTHING",
                 {text_value(topic.name), oid_value(role, REGROLEOID), text_value(privilege)});
    note_catalog_change();
}

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_grant) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        Registry registry(arguments.function());
        Grant grant = checked_grant(registry, arguments);
        forget_grants_of_dropped_roles(registry, grant.topic.name);
        grant_on_topic(registry, grant.topic, grant.role, grant.privilege);
        return 0;
    });
}

RTD_FUNCTION(rtd_revoke) {
    return enter([&]() -> Datum {
        Arguments arguments(fcinfo);
        Registry registry(arguments.function());
        Grant grant = checked_grant(registry, arguments);
        Rows revoked =
            registry.run("DELETE FROM @.rtd_topic_grant"
                         " WHERE topic = $1 AND role = $2 AND privilege = $3",
                         {text_value(grant.topic.name), oid_value(grant.role, REGROLEOID),
                          text_value(grant.privilege)});
        if (revoked.affected == 0)
            notice("role \"" + grant.role_name + "\" was not granted " + grant.privilege +
                   " on topic \"" + grant.topic.name + "\"");
        note_catalog_change();
        return 0;
    });
}
