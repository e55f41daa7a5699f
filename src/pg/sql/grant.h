// Who may subscribe or publish to a topic; the SQL functions are in grant.cpp.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/registry/registry.h"
#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Throws if there is no such role.
std::string needed_role_name(Oid role);

// The caller has checked that it owns the topic. A grant that is there already stays.
void grant_on_topic(const Registry &registry, const Topic &topic, Oid role,
                    const std::string &privilege);

} // namespace rtd::pg
