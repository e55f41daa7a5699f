#include "pg/ddl/cached_changes.h"

#include "pg/shared/shared_state.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/resowner.h"
}

namespace rtd::pg {

namespace {

bool has_changed = false;

// After the locks, because invalidations are sent before they are released, and after the
// callbacks of transactions: woken by one of those, the hub would look too early.
void after_transaction(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *) {
    if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || !has_changed)
        return;
    has_changed = false;
    if (is_commit && shared != nullptr)
        wake_hub_if_it_sleeps();
}

} // namespace

void init_cached_changes() {
    RegisterResourceReleaseCallback(after_transaction, nullptr);
}

void note_cached_change() {
    has_changed = true;
}

} // namespace rtd::pg
