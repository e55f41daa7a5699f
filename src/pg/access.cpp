#include "pg/access.h"

#include "pg/settings.h"
#include "pg/worker_transaction.h"

#include "pg/prelude.h"

extern "C" {
#include "utils/syscache.h"
}

namespace rtd::pg {

namespace {

void log_warning(const std::string &message) {
    call([&] { ereport(WARNING, (errmsg("%s", message.c_str()))); });
}

std::optional<link::Ended> ask_grants(const Catalog &catalog, const Topic *topic) {
    if (anonymous_role[0] == '\0')
        return link::Ended{0, CloseCode::unauthorized,
                           "this server has no role for clients that do not sign in"};
    Oid role = InvalidOid;
    bool allowed = false, has_owner = true;
    in_transaction([&] {
        role = call([] { return get_role_oid(anonymous_role, true); });
        if (!OidIsValid(role) || topic == nullptr)
            return;
        has_owner =
            call([&] { return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(topic->owner)); });
        allowed = call([&] { return has_privs_of_role(role, topic->owner); });
        for (auto grant = catalog.subscribe_grants.lower_bound({topic->name, 0});
             !allowed && grant != catalog.subscribe_grants.end() && grant->first == topic->name;
             ++grant)
            allowed = call([&] { return has_privs_of_role(role, grant->second); });
    });
    if (!OidIsValid(role)) {
        log_warning(std::string("rtd.anonymous_role \"") + anonymous_role + "\" does not exist");
        return link::Ended{0, CloseCode::unauthorized,
                           "the server's role for clients that do not sign in does not exist"};
    }
    if (topic != nullptr && allowed && !has_owner && topic->kind != link::TopicKind::event)
        return link::Ended{0, CloseCode::unavailable,
                           "the owner of topic \"" + topic->name +
                               "\", as whom its query runs, was dropped"};
    if (topic == nullptr || allowed)
        return std::nullopt;
    return link::Ended{0, CloseCode::forbidden,
                       std::string("role \"") + anonymous_role +
                           "\" may not subscribe to topic \"" + topic->name + "\""};
}

} // namespace

std::optional<link::Ended> Access::refuse(const Catalog &catalog, const Topic *topic) {
    std::string name = topic != nullptr ? topic->name : "";
    auto [decision, is_new] = decisions_.try_emplace(name);
    if (is_new) {
        try {
            decision->second = ask_grants(catalog, topic);
        } catch (const Error &error) {
            log_warning("rtd hub could not check grants: " + error.message());
            decision->second =
                link::Ended{0, CloseCode::unavailable, "the server could not check the grants"};
        }
    }
    return decision->second;
}

} // namespace rtd::pg
