#include "pg/writer/pending_events.h"

#include "pg/server/boundary.h"
#include "pg/server/settings.h"
#include "pg/shared/announcements.h"
#include "pg/shared/event_queue.h"
#include "pg/shared/interest.h"
#include "pg/shared/shared_state.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "utils/resowner.h"
}

namespace rtd::pg {

namespace {

// Everything the running transaction holds back. One object for all transactions of the session,
// because most make one small event, and its memory would cost more than the event.
struct Transaction {
    TransactionEvents events;
    bool is_committed = false; // published once its locks are gone
};

// Made by the first event, so that the postmaster, which loads the library, runs no constructor.
Transaction *transaction = nullptr;
bool in_use = false; // and only then there is one
bool warned = false;

TransactionEvents &events() {
    if (transaction == nullptr) {
        call([] { leave_event_queue_on_exit(); });
        transaction = new Transaction;
    }
    in_use = true;
    return transaction->events;
}

int level() {
    return GetCurrentTransactionNestLevel();
}

void forget() {
    in_use = false;
    transaction->is_committed = false;
    transaction->events.clear();
}

bool is_wanted(const HeldEvent &event) {
    if (event.delivery == Delivery::always)
        return true;
    // A hub that begins to serve says so before it looks for rows, and we were visible before this.
    if (event.delivery == Delivery::stored)
        return shared->hub_database == MyDatabaseId;
    // A log of every event wants every event.
    if (event.may_be_known && !message_level_is_interesting(event_log_level))
        return mark_changed(event.interest_key);
    return has_interest(event.interest_key);
}

// The hub may hold events back for this transaction.
void withdraw() {
    if (withdraw_announcement() && pg_atomic_read_u32(&shared->hub_holds) == 1)
        wake_hub_if_it_sleeps();
}

// One without a commit record is still announced: no scan comes between its position and its
// events.
CommitPosition commit_position() {
    if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
        return {XactLastCommitEnd, true};
    return {GetXLogInsertRecPtr(), false};
}

// Before the events, which may make queries that must know.
void raise_generations(const TransactionEvents::Chosen &chosen) {
    if (chosen.moves_definitions)
        pg_atomic_fetch_add_u64(&shared->definition_generation, 1);
    if (chosen.moves_catalog)
        pg_atomic_fetch_add_u64(&shared->catalog_generation, 1);
}

// Runs after the transaction became visible and may not fail: copies bytes, nothing else.
void publish() {
    // Between "visible to new snapshots" and "is anybody interested": pairs with add_interest().
    pg_memory_barrier();
    TransactionEvents::Chosen chosen = transaction->events.choose(is_wanted);
    raise_generations(chosen);
    if (chosen.events > 0)
        queue_events(transaction->events, chosen,
                     chosen.has_ordered ? commit_position() : CommitPosition{});
    withdraw();
    if (chosen.events > 0 || chosen.moves_definitions || chosen.moves_catalog)
        wake_hub_if_it_sleeps();
}

void on_transaction(XactEvent what, void *) {
    if (!in_use)
        return;
    switch (what) {
    case XACT_EVENT_PRE_COMMIT:
        if (shared != nullptr && transaction->events.must_be_announced())
            announce_commit();
        break;
    case XACT_EVENT_COMMIT:
        transaction->is_committed = true;
        break;
    case XACT_EVENT_ABORT:
        if (shared != nullptr) {
            abandon_reservation();
            withdraw();
        }
        forget();
        break;
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
                 errhint("Commit without PREPARE TRANSACTION, or leave writes to watched tables, "
                         "DDL on what topics read and changes of roles out of this transaction.")));
        break;
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
        break;
    }
}

// Not in XACT_EVENT_COMMIT: only now have the cache invalidations of the transaction been sent. The
// query that its event makes run must not be decided by privileges that it revoked.
void on_release(ResourceReleasePhase phase, bool, bool, void *) {
    if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !in_use || !transaction->is_committed)
        return;
    if (shared != nullptr)
        publish();
    forget();
}

void on_subtransaction(SubXactEvent what, SubTransactionId, SubTransactionId, void *) {
    if (!in_use)
        return;
    switch (what) {
    case SUBXACT_EVENT_ABORT_SUB:
        transaction->events.roll_back(level());
        break;
    case SUBXACT_EVENT_COMMIT_SUB:
        transaction->events.release(level());
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
    RegisterResourceReleaseCallback(on_release, nullptr);
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

void add_pending(const PreparedEvent &event, const std::string &topic, Delivery delivery) {
    events().add(level(), event, topic, delivery,
                 {.events = static_cast<uint64_t>(max_transaction_events),
                  .bytes = static_cast<uint64_t>(queue_kilobytes) * 1024});
}

void add_pending(const Event &event, Delivery delivery) {
    add_pending(prepare(event), event.topic, delivery);
}

void add_lost(const std::string &topic, const std::string &reason) {
    events().add_lost(level(), topic, reason, Delivery::always);
}

bool collapse_pending(uint64_t key, uint64_t topic) {
    return events().has_or_add_key(level(), key, topic);
}

void publish_now(const Event &event, Delivery delivery) {
    PreparedEvent prepared = prepare(event);
    if (delivery != Delivery::always && !has_interest(prepared.interest_key))
        return;
    call([&] { publish_now(prepared.bytes, prepared.topic_key); });
}

void note_definitions_moved() {
    if (shared != nullptr)
        events().add_generation(level(), true);
}

void note_catalog_change() {
    if (shared != nullptr)
        events().add_generation(level(), false);
}

} // namespace rtd::pg
