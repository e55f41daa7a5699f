// SessionRole: whose session a query worker's is while it runs a topic query. Not only the current
// user is the role of the query: session_user, which policies may ask for, is_superuser, and what a
// RESET ROLE would lead to are its too.
//
// It is made before the transaction, and gone after it, so that neither end of it matters.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

class SessionRole {
  public:
    SessionRole();
    ~SessionRole(); // gives the session back to the worker
    SessionRole(const SessionRole &) = delete;
    SessionRole &operator=(const SessionRole &) = delete;

    // In the transaction. Throws if the role does not exist.
    void become(Oid role);

  private:
    Oid worker_role_;
};

} // namespace rtd::pg
