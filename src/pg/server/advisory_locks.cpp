// See advisory_locks.h. Runs in backends.
#include "pg/server/advisory_locks.h"

#include <algorithm>
#include <cstring>

#include "pg/server/prelude.h"

extern "C" {
#include "storage/proc.h"
}

namespace rtd::pg {

namespace {

// To give back one hold too many, which is how they are counted, makes the server warn.
class Quiet {
  public:
    Quiet() : client_(client_min_messages), log_(log_min_messages) {
        client_min_messages = log_min_messages = ERROR;
    }
    ~Quiet() {
        client_min_messages = client_;
        log_min_messages = log_;
    }
    Quiet(const Quiet &) = delete;
    Quiet &operator=(const Quiet &) = delete;

  private:
    int client_, log_;
};

// The list is this process's own; the lock of its part is taken.
template <class Take> void for_each_own_lock(int part, const Take &take) {
    const auto *end = RTD_OWN_LOCKS(part);
    for (const auto *link = end->next; link != end && link != nullptr; link = link->next)
        take(reinterpret_cast<const PROCLOCK *>(reinterpret_cast<const char *>(link) -
                                                offsetof(PROCLOCK, procLink)));
}

// Of the session, or of the transaction.
bool take_at_once(const LOCKTAG &tag, LOCKMODE mode, bool of_session) {
    return call([&] { return LockAcquire(&tag, mode, of_session, true); }) != LOCKACQUIRE_NOT_AVAIL;
}

} // namespace

std::vector<AdvisoryLocks::Held> AdvisoryLocks::held_now() {
    std::vector<Held> held;
    std::vector<std::pair<LOCKTAG, LOCKMASK>> found;
    constexpr size_t kAtFirst = 64;
    found.reserve(kAtFirst);
    for (size_t needed = kAtFirst; needed > 0;) { // nothing is allocated under the server's lock
        found.reserve(needed);
        found.clear();
        needed = 0;
        for (int i = 0; i < NUM_LOCK_PARTITIONS; i++) {
            LWLock *lock = LockHashPartitionLockByIndex(i);
            LWLockAcquire(lock, LW_SHARED);
            size_t count = found.size() + needed;
            for_each_own_lock(i, [&](const PROCLOCK *own) {
                const LOCKTAG &tag = own->tag.myLock->tag;
                if (tag.locktag_type != LOCKTAG_ADVISORY || own->holdMask == 0)
                    return;
                if (++count > found.capacity())
                    needed++;
                else
                    found.emplace_back(tag, own->holdMask);
            });
            LWLockRelease(lock);
        }
        needed = needed > 0 ? found.size() + needed + kAtFirst : 0;
    }
    for (const auto &[tag, mask] : found)
        for (LOCKMODE mode = 1; mode <= MaxLockMode; mode++)
            if ((mask & LOCKBIT_ON(mode)) != 0)
                held.push_back({tag, mode});
    return held;
}

int AdvisoryLocks::give_back(const Held &lock) {
    Quiet quiet;
    int count = 0;
    while (call([&] { return LockRelease(&lock.tag, lock.mode, true); }))
        count++;
    return count;
}

void AdvisoryLocks::take(const Held &lock, int count) {
    for (; count > 0; count--)
        if (!take_at_once(lock.tag, lock.mode, true))
            throw Error(ERRCODE_INTERNAL_ERROR, "an advisory lock of the session was lost");
}

AdvisoryLocks::AdvisoryLocks() : held_(held_now()) {
    for (Held &lock : held_) {
        (void)take_at_once(lock.tag, lock.mode, false); // it is held, so this is at once
        lock.count = give_back(lock);
        take(lock, lock.count);
    }
}

const AdvisoryLocks::Held *AdvisoryLocks::find(const Held &lock) const {
    auto same = [&](const Held &other) {
        return other.mode == lock.mode && memcmp(&other.tag, &lock.tag, sizeof lock.tag) == 0;
    };
    auto found = std::ranges::find_if(held_, same);
    return found != held_.end() ? &*found : nullptr;
}

void AdvisoryLocks::restore() const {
    for (const Held &lock : held_now())
        if (find(lock) == nullptr)
            (void)give_back(lock);
    for (const Held &lock : held_) {
        (void)give_back(lock);
        take(lock, lock.count);
        (void)call([&] { return LockRelease(&lock.tag, lock.mode, false); });
    }
}

} // namespace rtd::pg
