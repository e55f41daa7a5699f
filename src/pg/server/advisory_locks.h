// keep_advisory_locks(): runs code of others in somebody's session and leaves that with exactly the
// session advisory locks that it had. They outlast a rollback, so that code could leave some
// behind, or give back those of the caller.
//
// The server does not tell how often a session has a lock. So each that the caller has is also
// taken for the transaction meanwhile, which keeps it whatever the code gives back; the session's
// holds can then be counted by giving them back, and taken again.
#pragma once
#include "core/fence.h"

#include <vector>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "storage/lock.h"
}

namespace rtd::pg {

class AdvisoryLocks {
  public:
    // Notes what the session has. In a transaction.
    AdvisoryLocks();
    // Makes it so again. In the same transaction, and the same subtransaction.
    void restore() const;

  private:
    struct Held {
        LOCKTAG tag;
        LOCKMODE mode;
        int count = 0; // by the session
    };

    static std::vector<Held> held_now();
    static int give_back(const Held &lock);
    static void take(const Held &lock, int count);
    const Held *find(const Held &lock) const;

    std::vector<Held> held_;
};

template <class Body> void keep_advisory_locks(Body &&body) {
    AdvisoryLocks locks;
    try {
        body();
    } catch (...) {
        locks.restore();
        throw;
    }
    locks.restore();
}

} // namespace rtd::pg
