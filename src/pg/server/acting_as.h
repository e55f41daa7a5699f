// Acts as another role while it lives. Code of that role's, which planning and parse analysis may
// run, also gets SECURITY_RESTRICTED_OPERATION: it can then neither become somebody else, nor leave
// temporary objects, prepared statements or cursors in the session.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

class ActingAs {
  public:
    explicit ActingAs(Oid role, int security_flags = SECURITY_LOCAL_USERID_CHANGE) {
        GetUserIdAndSecContext(&saved_role_, &saved_context_);
        SetUserIdAndSecContext(role, saved_context_ | security_flags);
    }
    ~ActingAs() { SetUserIdAndSecContext(saved_role_, saved_context_); }
    ActingAs(const ActingAs &) = delete;
    ActingAs &operator=(const ActingAs &) = delete;

  private:
    Oid saved_role_;
    int saved_context_;
};

} // namespace rtd::pg
