#include "pg/server/report.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

void report(int level, const std::string &message, const std::string &hint) {
    call([&] {
        ereport(level,
                (errmsg("%s", message.c_str()), hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

} // namespace rtd::pg
