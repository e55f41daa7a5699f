#include "pg/query/session_role.h"

#include "pg/server/as_owner.h"
#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

SessionRole::SessionRole() : worker_role_(GetSessionUserId()) {}

SessionRole::~SessionRole() {
    try {
        SetUserIdAndSecContext(worker_role_, 0);
        call([&] { SetSessionAuthorization(worker_role_, true); });
    } catch (const Error &) {
        proc_exit(1); // no query may find the session of another role
    }
}

void SessionRole::become(Oid role) {
    call([&] {
        SetSessionAuthorization(role, superuser_arg(role));
        SetUserIdAndSecContext(role, kAsOthersCode);
    });
}

} // namespace rtd::pg
