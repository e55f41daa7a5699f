// DDL that a function of rtd does in the name of its caller, as event triggers see it: the same
// events, in the same order and with the same objects, as of the statement that the caller would
// have written. Audits and replication of DDL live on them, and one may refuse the command.
#pragma once
#include "core/fence.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/objectaddress.h"
#include "commands/event_trigger.h"
#include "nodes/nodes.h"
}

namespace rtd::pg {

// Runs `body`, which makes or drops what `statement` says and returns the address of what it made;
// InvalidObjectAddress, if it dropped something. Event triggers run as the caller; whatever role
// `body` needs, it takes by itself.
template <class Body> void run_ddl(Node *statement, Body &&body) {
    bool is_watched = call([] { return EventTriggerBeginCompleteQuery(); });
    auto end = [&] {
        if (is_watched)
            EventTriggerEndCompleteQuery();
    };
    try {
        call([&] { EventTriggerDDLCommandStart(statement); });
        ObjectAddress made = body();
        call([&] {
            if (OidIsValid(made.classId))
                EventTriggerCollectSimpleCommand(made, InvalidObjectAddress, statement);
            if (is_watched) {
                EventTriggerSQLDrop(statement);
                EventTriggerDDLCommandEnd(statement);
            }
        });
    } catch (...) {
        end();
        throw;
    }
    end();
}

} // namespace rtd::pg
