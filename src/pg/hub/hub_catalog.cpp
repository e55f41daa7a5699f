// Settings, topics, grants and roles: what the hub follows while it runs. See hub_loop.h.
#include <set>
#include <utility>

#include "core/backoff.h"
#include "pg/hub/hub_loop.h"
#include "pg/hub/link_settings.h"
#include "pg/server/boundary.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/server/worker_settings.h"
#include "pg/shared/shared_state.h"

#include "pg/server/prelude.h"

extern "C" {
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace rtd::pg {

namespace {

constexpr int64_t kRetryMs = 1000;
// While somebody else has a lock on what is read.
constexpr int64_t kFirstLockRetryMs = 20;
constexpr int64_t kLongestLockRetryMs = 250;
constexpr int kRetriesUntilLogged = 5;

// Set by the server while it takes in invalidations.
bool roles_changed = false;
bool schemas_changed = false;

void on_role_change(Datum, int, uint32) {
    roles_changed = true;
}

void on_schema_change(Datum, int, uint32) {
    schemas_changed = true;
}

} // namespace

void HubLoop::watch_roles() {
    call([] {
        CacheRegisterSyscacheCallback(AUTHOID, on_role_change, 0);
        CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, 0);
        CacheRegisterSyscacheCallback(NAMESPACEOID, on_schema_change, 0);
    });
}

void HubLoop::reload_settings(Now now) {
    call([] { ProcessConfigFile(PGC_SIGHUP); });
    follow_deadlock_timeout(kHubLockWaitMs);
    router_.set_settings(router_settings());
    seen_generation_ = 0; // rtd.anonymous_role may be another one: grants are asked again
    gateways_.reload(now);
}

void HubLoop::reload_catalog_if_changed(Now now) {
    call([] { AcceptInvalidationMessages(); });
    uint64_t generation = pg_atomic_read_u64(&shared->catalog_generation);
    // Memberships decide about grants. What else the transaction did is read first, because it may
    // have given another owner to the topics of a role that it dropped.
    // The extension's schema may have another name, which follow_catalog() sees.
    bool has_changed = generation != seen_generation_ || roles_changed || schemas_changed;
    if (!has_changed || now.steady_ms < next_reload_ms_)
        return;
    next_reload_ms_ = now.steady_ms + kRetryMs;
    std::optional<Catalog> loaded;
    // A schema that gets another name in between makes one attempt fail, and not the next.
    for (int attempts_left = 1; !loaded; attempts_left--) {
        bool roles_had_changed = std::exchange(roles_changed, false);
        bool schemas_had_changed = std::exchange(schemas_changed, false);
        is_outdated_ = false;
        auto put_back = [&] {
            is_outdated_ = true;
            roles_changed = roles_changed || roles_had_changed;
            schemas_changed = schemas_changed || schemas_had_changed;
        };
        try {
            if (follow_catalog(now)) {
                next_reload_ms_ = 0;
                registry_locks_ = 0;
                seen_generation_ = generation;
                return;
            }
            compare_versions();
            loaded = load_catalog();
        } catch (const Error &error) {
            put_back();
            if (is_of_lock(error.sqlstate()))
                return meet_registry_lock(error.message(), now);
            if (attempts_left == 0)
                return report(WARNING, "rtd hub could not read its tables: " + error.message(),
                              error.hint());
            call([] { AcceptInvalidationMessages(); });
        } catch (...) { // no memory
            put_back();
            throw;
        }
    }
    Catalog catalog = std::move(*loaded);
    shared->hub_failures = 0;
    bool has_extension = !catalog.schema.empty();
    if (has_extension)
        start_serving(std::move(catalog), now);
    next_reload_ms_ = 0; // otherwise it failed, and is tried again
    registry_locks_ = 0;
    seen_generation_ = generation;
    if (has_extension)
        return;
    if (serving())
        stop_serving(now);
    if (!waiting_logged_)
        report(LOG,
               std::string("rtd hub: waiting for the extension in database \"") + database + "\"",
               "Run CREATE EXTENSION rtd there; no restart is needed.");
    waiting_logged_ = true;
}

// Whoever holds it may hold it for long: what the hub knows serves meanwhile.
void HubLoop::meet_registry_lock(const std::string &message, Now now) {
    next_reload_ms_ =
        now.steady_ms + backoff_ms(++registry_locks_, kFirstLockRetryMs, kLongestLockRetryMs);
    if (registry_locks_ >= kRetriesUntilLogged)
        complain("registry", WARNING, "rtd hub could not read its tables: " + message,
                 "Another session has a lock on them, or on a system catalog; what the hub has "
                 "read before is served meanwhile.");
}

// A library that was exchanged is used from the next start of the server on, an extension from
// ALTER EXTENSION on: somebody has done one and not the other.
void HubLoop::compare_versions() {
    std::string version = extension_version();
    if (version == std::exchange(told_version_, version) || version.empty() ||
        version == RTD_VERSION)
        return;
    report(
        WARNING,
        "rtd hub: the extension in database \"" + std::string(database) + "\" has version " +
            version + ", and the library that the server has loaded " + RTD_VERSION,
        "Run ALTER EXTENSION rtd UPDATE there, or restart the server so that it loads the library "
        "that is installed.");
}

void HubLoop::check_access(Now now) {
    access_.begin_turn(); // its answers were others'
    router_.check_access(now);
}

// False if everything must be read.
bool HubLoop::follow_catalog(Now now) {
    if (!serving() || seen_generation_ == 0)
        return false;
    std::optional<CatalogChange> change = load_change(catalog_);
    if (!change)
        return false;
    for (const std::shared_ptr<const Topic> &topic : change->topics)
        catalog_.topics.insert_or_assign(topic->name, topic);
    catalog_.subscribe_grants.insert(change->subscribe_grants.begin(),
                                     change->subscribe_grants.end());
    catalog_.publish_grants.insert(change->publish_grants.begin(), change->publish_grants.end());
    catalog_.marks = change->marks;
    router_.change_topics(change->topics, now);
    check_access(now);
    return true;
}

void HubLoop::start_serving(Catalog catalog, Now now) {
    bool was_serving = serving();
    catalog_ = std::move(catalog);
    access_.begin_turn(); // grants may be others
    waiting_logged_ = false;
    std::set<std::string> channels = {kProbeChannel};
    for (const Channel &channel : catalog_.channels)
        channels.insert(channel.name);
    listener_.listen(channels);
    readiness_.forget_proof();
    router_.set_topics(catalog_.topics, now);
    if (was_serving)
        return;
    shared->hub_database = MyDatabaseId;
    report(LOG, std::string("rtd hub: serving database \"") + database + "\"");
    ConditionVariableBroadcast(&shared->probe_finished);
}

void HubLoop::stop_serving(Now now) {
    shared->hub_database = InvalidOid;
    router_.set_topics({}, now); // ends all subscriptions: their topics are dropped
    gateways_.shut_down(CloseCode::topic_dropped, "the extension was dropped", now);
    pool_.stop();
    store_pool_.stop();
    publish_pool_.stop();
    router_.forget_log_jobs();
    publishing_ = {};
    storing_.reset();
    numbering_since_ms_.reset();
    unstored_notifications_.clear();
    unstored_bytes_ = 0;
    storing_notifications_ = 0;
    order_ = {};
    release_bound_ = 0;
    early_losses_ = {};
    more_events_ = false;
    listener_.listen({});
    catalog_ = {};
}

} // namespace rtd::pg
