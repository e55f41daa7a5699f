// as_owner(): parse analysis and planning of SQL that somebody else has written, in the transaction
// of whoever is here. Both may run code of theirs: functions that call themselves IMMUTABLE, checks
// of domains, casts.
//
// That code runs as the role that the SQL belongs to, in a security-restricted operation, cannot
// write, and is undone however it ends: what it set, and the locks it took, advisory locks of the
// session among them. So `body` hands out values of its own and nothing that the server would
// release.
#pragma once
#include "core/fence.h"

#include <string>

#include "pg/server/acting_as.h"
#include "pg/server/advisory_locks.h"
#include "pg/server/boundary.h"
#include "pg/server/setting_scope.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/resowner.h"
}

namespace rtd::pg {

inline constexpr int kAsOthersCode = SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION;

// SQL that writes is refused while it lives. A transaction that is read-only stays so.
class ReadOnly {
  public:
    ReadOnly() : saved_(XactReadOnly) { XactReadOnly = true; }
    ~ReadOnly() { XactReadOnly = saved_; }
    ReadOnly(const ReadOnly &) = delete;
    ReadOnly &operator=(const ReadOnly &) = delete;

  private:
    bool saved_;
};

// Runs `body` in a subtransaction that is undone however it ends: what it set, also for the
// session, its large objects, notifications and cursors.
template <class Body> void undone(Body &&body) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    auto undo = [&] {
        call([] { RollbackAndReleaseCurrentSubTransaction(); });
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
    };
    call([] { BeginInternalSubTransaction(nullptr); });
    MemoryContextSwitchTo(context);
    try {
        body();
    } catch (...) {
        undo();
        throw;
    }
    undo();
}

template <class Body> void as_owner(Oid owner, const std::string &search_path, Body &&body) {
    keep_advisory_locks([&] {
        undone([&] {
            ActingAs role(owner, kAsOthersCode);
            ReadOnly nothing_is_written;
            SearchPath path(search_path.c_str());
            body();
        });
    });
}

} // namespace rtd::pg
