// What rtd_broadcast() does, for SQL and for messages that clients publish: see publish.h. Runs in
// a transaction, as the role that publishes.
#pragma once
#include "core/fence.h"

#include <cstdint>
#include <string>

#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

struct Broadcast {
    std::string topic;
    TextList params;
    std::string type; // empty: the topic's own
    std::string source = "event";
    std::string data; // JSON text, as jsonb writes it
    bool transactional = true;
};

// Subscribers at this moment. `function` is any function of the extension.
int64 broadcast(Oid function, const Broadcast &message);

// The text of a jsonb.
std::string jsonb_text(Datum jsonb);

} // namespace rtd::pg
