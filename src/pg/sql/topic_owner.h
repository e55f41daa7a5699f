// Owners of topics, as PostgreSQL's commands about roles treat owners of objects: the owner can be
// changed, REASSIGN OWNED and DROP OWNED mean topics too, and DROP ROLE leaves no grant behind.
#pragma once
#include "core/fence.h"

#include <vector>

#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Throws unless the caller may make `role` the owner of the topic, by the rules of
// ALTER ... OWNER TO: it owns the topic, can SET ROLE to the new owner, and the new owner could
// have created it. A superuser may.
void check_new_owner(const Topic &topic, Oid role);
// Throws unless the role may create topics in this database.
void check_may_create(Oid role);

// After REASSIGN OWNED BY roles TO new_owner.
void reassign_topics(const Registry &registry, const std::vector<Oid> &roles, Oid new_owner);
// After DROP OWNED BY roles.
void drop_topics_of(const Registry &registry, const std::vector<Oid> &roles);
// Of roles that were dropped where nobody could follow it, such as in another database. Their OIDs
// may come to be those of other roles. Of one topic, because whoever is about another one would
// wait for this transaction.
void forget_grants_of_dropped_roles(const Registry &registry, const std::string &topic);
// After DROP ROLE: removes grants to roles that do not exist, and warns of topics without an owner.
void forget_dropped_roles(const Registry &registry);

} // namespace rtd::pg
