#include "pg/hub/access.h"

#include "core/json_text.h"
#include "pg/server/settings.h"
#include "pg/server/worker_transaction.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/syscache.h"
}

namespace rtd::pg {

namespace {

void log_warning(const std::string &message) {
    call([&] { ereport(WARNING, (errmsg("%s", message.c_str()))); });
}

std::variant<Identity, link::Ended> ask_anonymous_role() {
    if (anonymous_role[0] == '\0')
        return link::Ended{0, CloseCode::unauthorized,
                           "this server has no role for clients that do not sign in"};
    Oid role = InvalidOid;
    in_transaction([&] { role = call([] { return get_role_oid(anonymous_role, true); }); });
    if (OidIsValid(role))
        return Identity{role, "{\"role\": " + json_quote(anonymous_role) + "}"};
    log_warning(std::string("rtd.anonymous_role \"") + anonymous_role + "\" does not exist");
    return link::Ended{0, CloseCode::unauthorized,
                       "the server's role for clients that do not sign in does not exist"};
}

// Inside in_transaction().
bool is_granted(const Catalog::Grants &grants, Oid role, const Topic &topic) {
    if (call([&] { return has_privs_of_role(role, topic.owner); }))
        return true;
    for (auto grant = grants.lower_bound({topic.name, 0});
         grant != grants.end() && grant->first == topic.name; ++grant)
        if (call([&] { return has_privs_of_role(role, grant->second); }))
            return true;
    return false;
}

// In the words of rtd_broadcast().
std::optional<link::Ended> ask_publish_grants(const Catalog &catalog, Oid role,
                                              const Topic &topic) {
    bool allowed = false;
    in_transaction([&] { allowed = is_granted(catalog.publish_grants, role, topic); });
    if (allowed)
        return std::nullopt;
    return link::Ended{0, CloseCode::forbidden,
                       "permission denied to publish to topic \"" + topic.name + "\""};
}

std::optional<link::Ended> ask_grants(const Catalog &catalog, Oid role, const Topic *topic) {
    std::optional<std::string> name; // of the role, if it is still there
    bool allowed = false, has_owner = true;
    in_transaction([&] {
        if (const char *found = call([&] { return GetUserNameFromId(role, true); }))
            name = found;
        if (!name || topic == nullptr)
            return;
        has_owner =
            call([&] { return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(topic->owner)); });
        allowed = is_granted(catalog.subscribe_grants, role, *topic);
    });
    if (!name)
        return link::Ended{0, CloseCode::unauthorized, "the role of this client does not exist"};
    if (topic == nullptr)
        return std::nullopt;
    if (!allowed)
        return link::Ended{0, CloseCode::forbidden,
                           "role \"" + *name + "\" may not subscribe to topic \"" + topic->name +
                               "\""};
    if (!has_owner && !topic->is_invoker && topic->kind != link::TopicKind::event)
        return link::Ended{0, CloseCode::unavailable,
                           "the owner of topic \"" + topic->name +
                               "\", as whom its query runs, was dropped"};
    return std::nullopt;
}

// What becomes of a question that the server could not answer.
link::Ended unanswered() {
    return {0, CloseCode::unavailable, "the server could not check the grants"};
}

link::Ended unanswered(const Error &error) {
    log_warning("rtd hub could not check grants: " + error.message());
    return unanswered();
}

template <class Decisions, class Ask>
std::optional<link::Ended> decide(Decisions &decisions, typename Decisions::key_type about,
                                  Ask ask) {
    auto [decision, is_new] = decisions.try_emplace(std::move(about));
    if (is_new)
        decision->second = ask();
    return decision->second;
}

} // namespace

template <class Answer, class Ask> Answer Access::ask(Ask body) {
    if (is_locked_)
        return unanswered();
    try {
        return body();
    } catch (const Error &error) {
        is_locked_ = is_of_lock(error.sqlstate());
        return unanswered(error);
    }
}

std::variant<Identity, link::Ended> Access::identify() {
    if (!anonymous_)
        anonymous_ = ask<std::variant<Identity, link::Ended>>(ask_anonymous_role);
    return *anonymous_;
}

std::optional<link::Ended> Access::refuse(const Catalog &catalog, const Identity &identity,
                                          const Topic *topic) {
    std::string name = topic != nullptr ? topic->name : "";
    return decide(decisions_, {identity.role, name}, [&] {
        return ask<std::optional<link::Ended>>(
            [&] { return ask_grants(catalog, identity.role, topic); });
    });
}

std::optional<link::Ended> Access::refuse_to_publish(const Catalog &catalog,
                                                     const Identity &identity, const Topic &topic) {
    return decide(publish_decisions_, {identity.role, topic.name}, [&] {
        return ask<std::optional<link::Ended>>(
            [&] { return ask_publish_grants(catalog, identity.role, topic); });
    });
}

} // namespace rtd::pg
