// See topic_cache.h. Runs in backends, inside a transaction.
#include "pg/registry/topic_cache.h"

#include <algorithm>
#include <unordered_map>

#include "pg/server/prelude.h"

extern "C" {
#include "utils/inval.h"
}

namespace rtd::pg {

namespace {

struct CachedTopic {
    Topic topic;
    std::vector<Oid> publishers; // roles that were granted publish
};

// shared_ptr, because a topic may be forgotten while a broadcast to it is being made.
struct Cache {
    std::unordered_map<std::string, std::shared_ptr<const CachedTopic>> topics;
    Oid topic_table = InvalidOid, grant_table = InvalidOid;
    uint64_t invalidations = 0;
};
Cache *cache = nullptr;

void forget(Datum, Oid relation) {
    if (OidIsValid(relation) && relation != cache->topic_table && relation != cache->grant_table)
        return;
    cache->invalidations++;
    cache->topics.clear();
}

void init_cache() {
    auto fresh = std::make_unique<Cache>();
    call([] { CacheRegisterRelcacheCallback(forget, 0); });
    cache = fresh.release();
}

// Sees what is committed by now even in an old snapshot, because it outlives the transaction.
std::shared_ptr<const CachedTopic> read_topic(const Registry &registry, const std::string &name) {
    auto read = std::make_shared<CachedTopic>();
    read->topic = needed_topic(registry, name);
    Rows grants = registry.run_fresh("SELECT role::oid FROM @.rtd_topic_grant"
                                     " WHERE topic = $1 AND privilege = 'publish'",
                                     {text_value(name)});
    for (const Row &row : grants.rows)
        read->publishers.push_back(row[0].oid());
    return read;
}

std::shared_ptr<const CachedTopic> find_cached(Oid function, const std::string &name) {
    if (cache == nullptr)
        init_cache();
    call([] { AcceptInvalidationMessages(); });
    auto known = cache->topics.find(name);
    if (known != cache->topics.end())
        return known->second;
    Registry registry(function);
    call([&] {
        cache->topic_table = get_relname_relid("rtd_topic", registry.schema());
        cache->grant_table = get_relname_relid("rtd_topic_grant", registry.schema());
    });
    uint64_t invalidations_before = cache->invalidations;
    std::shared_ptr<const CachedTopic> topic = read_topic(registry, name);
    // An invalidation that came while it was read may be about it: good for this call only.
    if (cache->invalidations == invalidations_before)
        cache->topics.emplace(name, topic);
    return topic;
}

bool caller_is_member_of(Oid role) {
    return call([&] { return has_privs_of_role(GetUserId(), role); });
}

} // namespace

std::shared_ptr<const Topic> topic_to_publish_to(Oid function, const std::string &name) {
    std::shared_ptr<const CachedTopic> found = find_cached(function, name);
    if (!caller_is_member_of(found->topic.owner) &&
        std::none_of(found->publishers.begin(), found->publishers.end(), caller_is_member_of))
        throw Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                    "permission denied to publish to topic \"" + name + "\"", {},
                    "Its owner can allow it: rtd_grant('" + name + "', role, 'publish').");
    return {found, &found->topic};
}

} // namespace rtd::pg
