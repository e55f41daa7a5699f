#include "pg/pending_events.h"

#include <memory>
#include <unordered_map>
#include <vector>

#include "pg/boundary.h"
#include "pg/event_queue.h"
#include "pg/interest.h"
#include "pg/shared_state.h"

#include "pg/prelude.h"

extern "C" {
#include "access/xlog.h"
#include "commands/dbcommands.h"
}

namespace rtd::pg {

namespace {

struct Pending {
    int level; // nesting level of the subtransaction that made it
    Delivery delivery;
    uint64_t interest_key;
    std::string bytes; // encoded event; empty: the catalog changed
};

// Everything the running transaction holds back. Made by its first event, freed at its end.
struct Transaction {
    std::vector<Pending> events;                 // levels never fall from front to back
    std::unordered_map<uint64_t, int> collapsed; // key of collapse_pending() to its level
};

Transaction *transaction = nullptr;
bool warned = false;

Transaction &current() {
    if (transaction == nullptr)
        transaction = new Transaction;
    return *transaction;
}

void forget() {
    delete transaction;
    transaction = nullptr;
}

void rollback_level(int level) {
    while (!transaction->events.empty() && transaction->events.back().level >= level)
        transaction->events.pop_back();
    std::erase_if(transaction->collapsed, [=](const auto &entry) { return entry.second >= level; });
}

// A released savepoint hands its events to its parent.
void release_level(int level) {
    for (auto it = transaction->events.rbegin();
         it != transaction->events.rend() && it->level >= level; ++it)
        it->level = level - 1;
    for (auto &[key, made_at] : transaction->collapsed)
        made_at = Min(made_at, level - 1);
}

bool is_wanted(const Pending &event) {
    return event.delivery == Delivery::always || subscriber_count(event.interest_key) > 0;
}

// Runs after the transaction became visible and may not fail: copies bytes, nothing else.
void publish() {
    // Between "visible to new snapshots" and "is anybody interested": pairs with add_interest().
    pg_memory_barrier();
    bool wrote = TransactionIdIsValid(GetTopTransactionIdIfAny());
    uint64_t commit_lsn = wrote ? XactLastCommitEnd : GetXLogInsertRecPtr();
    bool catalog_changed = false;
    bool locked = false;
    for (const Pending &event : transaction->events) {
        if (event.bytes.empty()) {
            catalog_changed = true;
            pg_atomic_fetch_add_u64(&shared->catalog_generation, 1);
        } else if (is_wanted(event)) {
            if (!locked)
                lock_event_queue();
            locked = true;
            append_event(event.bytes, commit_lsn);
        }
    }
    if (locked)
        unlock_event_queue();
    if (catalog_changed)
        wake_hub();
}

void on_transaction(XactEvent what, void *) {
    if (transaction == nullptr)
        return;
    switch (what) {
    case XACT_EVENT_COMMIT:
        if (shared != nullptr)
            publish();
        forget();
        break;
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PARALLEL_ABORT:
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_PREPARE:
        forget();
        break;
    case XACT_EVENT_PRE_PREPARE:
        if (!transaction->events.empty())
            ereport(
                ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("cannot PREPARE a transaction that has made rtd events"),
                 errdetail("Events are kept in the memory of the session until it commits."),
                 errhint("Commit without PREPARE TRANSACTION, or do not write to watched tables "
                         "in this transaction.")));
        break;
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
        break;
    }
}

void on_subtransaction(SubXactEvent what, SubTransactionId, SubTransactionId, void *) {
    if (transaction == nullptr)
        return;
    int level = GetCurrentTransactionNestLevel();
    switch (what) {
    case SUBXACT_EVENT_ABORT_SUB:
        rollback_level(level);
        break;
    case SUBXACT_EVENT_COMMIT_SUB:
        release_level(level);
        break;
    case SUBXACT_EVENT_START_SUB:
    case SUBXACT_EVENT_PRE_COMMIT_SUB:
        break;
    }
}

void warn_once(const char *reason, const char *hint) {
    if (warned)
        return;
    warned = true;
    call([&] {
        ereport(WARNING, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                          errmsg("rtd events are not delivered: %s", reason),
                          errdetail("Writes go on; this warning is given once per session."),
                          errhint("%s", hint)));
    });
}

} // namespace

void init_pending_events() {
    RegisterXactCallback(on_transaction, nullptr);
    RegisterSubXactCallback(on_subtransaction, nullptr);
}

bool hub_is_reachable() {
    if (shared == nullptr) {
        warn_once("the library is not preloaded",
                  "Add rtd to shared_preload_libraries and restart the server.");
        return false;
    }
    // A hub that is just being restarted still has its database here, and its queue is kept.
    if (shared->hub_database == MyDatabaseId)
        return true;
    warn_once("no rtd hub serves this database",
              "Set rtd.database to this database and look for \"rtd hub\" in the server log.");
    return false;
}

void add_pending(const Event &event, Delivery delivery) {
    current().events.push_back(
        {GetCurrentTransactionNestLevel(), delivery, interest_key(event), encode(event)});
}

bool collapse_pending(uint64_t key) {
    return !current().collapsed.try_emplace(key, GetCurrentTransactionNestLevel()).second;
}

void publish_now(const Event &event, Delivery delivery) {
    std::string bytes = encode(event);
    if (delivery != Delivery::always && subscriber_count(interest_key(event)) == 0)
        return;
    uint64_t lsn = GetXLogInsertRecPtr();
    lock_event_queue();
    append_event(bytes, lsn);
    unlock_event_queue();
}

void note_catalog_change() {
    if (shared != nullptr)
        current().events.push_back({GetCurrentTransactionNestLevel(), Delivery::always, 0, {}});
}

} // namespace rtd::pg
