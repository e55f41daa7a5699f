// Topics that this backend publishes to, kept from one rtd_broadcast() to the next: a look-up in
// the registry costs more than everything else a broadcast does.
//
// rtd_catalog_trigger() raises a relcache invalidation of the registry's tables when they are
// written, so what is kept here is as current as a system catalog: changes of other sessions are
// seen when they have committed, this session's own at once, and a rollback takes them back.
#pragma once
#include "core/fence.h"

#include <memory>
#include <string>

#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// The topic, if the caller is its owner or has been granted publish; throws otherwise. `function`
// is any function of the extension.
std::shared_ptr<const Topic> topic_to_publish_to(Oid function, const std::string &name);

} // namespace rtd::pg
