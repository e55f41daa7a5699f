// Where clients find a topic, and what still keeps them from it. For rtd_serve_table(), in
// backends.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/registry/registry.h"
#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

struct TopicAddress {
    std::string websocket, event_stream; // URLs
};
// As the settings have it; under localhost wherever the gateway listens there.
TopicAddress address_of(const std::string &topic);

// A WARNING with a hint for the setting because of which no client, or none that has not signed in,
// can subscribe: the encoding is not UTF8, the library is not preloaded, rtd.database is another
// one, rtd.anonymous_role is empty, missing or not allowed to. `granted` is a role that may
// subscribe to the topic.
void warn_of_obstacles(const Registry &registry, const Topic &topic, const std::string &granted);

} // namespace rtd::pg
