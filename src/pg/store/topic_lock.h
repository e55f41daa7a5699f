// Topics as rows that others lock: a session may drop a topic, and leave its transaction open for
// as long as it likes. What rtd stores for the other topics must not wait for that.
//
// rtd_drop_topic(), and an rtd_alter_topic() that takes stored messages away, lock the topic's row
// FOR UPDATE. Whoever stores locks it FOR KEY SHARE, as foreign keys do, where that needs no
// waiting.
#pragma once
#include "core/fence.h"

#include <set>
#include <string>

#include "pg/server/statement.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Locks those of the topics that nobody is taking away, until the end of the transaction, and
// returns the others. One that does not exist any more is none of them. The transaction then waits
// lock_wait() at most for any other lock.
std::set<std::string> lock_topics(const Home &home, const std::set<std::string> &names);

} // namespace rtd::pg
