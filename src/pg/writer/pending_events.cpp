#include "pg/writer/pending_events.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "core/json_text.h"
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

struct Pending {
    int level; // nesting level of the subtransaction that made it
    Delivery delivery = Delivery::always;
    bool may_be_known = false; // a state change that the mark of its interest key covers
    bool says_lost = false;    // stands for events that are not kept
    uint64_t interest_key = 0;
    uint64_t topic_key = 0;
    size_t offset = 0;          // of its bytes in Transaction::bytes
    size_t size = 0;            // 0: a generation is to be raised
    bool is_definition = false; // of definitions; otherwise of the catalog
};

// How much of one topic the transaction holds back.
struct Tally {
    uint64_t topic_key = 0;
    uint64_t events = 0;
    uint64_t bytes = 0;
    int collapsed_level = 0; // level that holds its `lost` event; 0: none
};

// Everything the running transaction holds back. One object for all transactions of the session,
// because most make one small event, and its memory would cost more than the event.
struct Transaction {
    bool in_use = false;
    std::vector<Pending> events;                 // levels never fall from front to back
    std::string bytes;                           // their encoded events, one after the other
    std::unordered_map<uint64_t, int> collapsed; // key of collapse_pending() to its level
    std::vector<Tally> tallies;                  // few: one for each topic
    bool has_collapsed = false;                  // some topic has, though perhaps rolled back
    bool is_committed = false;                   // published once its locks are gone
};

Transaction *const transaction = new Transaction;
bool warned = false;

// What a large transaction leaves behind is given back.
constexpr size_t kKeptBytes = 1 << 14;
constexpr size_t kKeptEvents = 256;

Transaction &current() {
    transaction->in_use = true;
    return *transaction;
}

void forget() {
    Transaction &ended = *transaction;
    if (ended.bytes.capacity() > kKeptBytes || ended.events.capacity() > kKeptEvents ||
        ended.collapsed.bucket_count() > kKeptEvents || ended.tallies.capacity() > kKeptEvents) {
        ended = Transaction{};
        return;
    }
    ended.in_use = false;
    ended.events.clear();
    ended.bytes.clear();
    if (!ended.collapsed.empty())
        ended.collapsed.clear();
    ended.tallies.clear();
    ended.has_collapsed = false;
    ended.is_committed = false;
}

Tally *find_tally(uint64_t topic_key) {
    for (auto tally = transaction->tallies.rbegin(); tally != transaction->tallies.rend(); ++tally)
        if (tally->topic_key == topic_key)
            return &*tally;
    return nullptr;
}

Tally &tally_of(uint64_t topic_key) {
    Tally *known = find_tally(topic_key);
    return known != nullptr ? *known
                            : current().tallies.emplace_back(Tally{.topic_key = topic_key});
}

void untally(const Pending &event) {
    Tally *tally = find_tally(event.topic_key);
    if (tally == nullptr)
        return;
    tally->events--;
    tally->bytes -= event.size;
}

void rollback_level(int level) {
    while (!transaction->events.empty() && transaction->events.back().level >= level) {
        const Pending &event = transaction->events.back();
        untally(event);
        if (event.size > 0)
            transaction->bytes.resize(event.offset);
        transaction->events.pop_back();
    }
    std::erase_if(transaction->collapsed, [=](const auto &entry) { return entry.second >= level; });
    for (Tally &tally : transaction->tallies)
        if (tally.collapsed_level >= level)
            tally.collapsed_level = 0;
}

// A released savepoint hands its events to its parent.
void release_level(int level) {
    for (auto it = transaction->events.rbegin();
         it != transaction->events.rend() && it->level >= level; ++it)
        it->level = level - 1;
    for (auto &[key, made_at] : transaction->collapsed)
        made_at = Min(made_at, level - 1);
    for (Tally &tally : transaction->tallies)
        tally.collapsed_level = Min(tally.collapsed_level, level - 1);
}

void push(const PreparedEvent &event, Delivery delivery) {
    Transaction &pending = current();
    Tally &tally = tally_of(event.topic_key);
    size_t offset = pending.bytes.size();
    pending.bytes += event.bytes;
    pending.events.push_back(
        {.level = GetCurrentTransactionNestLevel(),
         .delivery = delivery,
         .may_be_known = delivery == Delivery::state_change && event.covers_interest,
         .says_lost = event.says_lost,
         .interest_key = event.interest_key,
         .topic_key = event.topic_key,
         .offset = offset,
         .size = event.bytes.size()});
    tally.events++;
    tally.bytes += event.bytes.size();
}

void push_lost(const std::string &topic, Delivery delivery, const std::string &reason) {
    Event lost;
    lost.kind = EventKind::lost;
    lost.topic = topic;
    lost.payload = "{\"reason\": " + json_quote(reason) + "}";
    // A retained or stored message is lost also if nobody subscribes, and a keyed topic's loss has
    // no more need of a place in the order than its changes.
    bool keeps = delivery == Delivery::always || delivery == Delivery::stored ||
                 delivery == Delivery::keyed_change;
    push(prepare(lost), keeps ? delivery : Delivery::if_subscribed);
}

// The topic's events of this subtransaction give way to one that says that they are lost. Those of
// its parents, as many as the bound at most, are kept for the case that this one is rolled back.
void collapse_topic(const std::string &name, uint64_t topic, Delivery delivery) {
    int level = GetCurrentTransactionNestLevel();
    std::string kept_bytes;
    std::erase_if(transaction->events, [&](Pending &event) {
        bool goes = event.topic_key == topic && event.level >= level;
        if (goes) {
            untally(event);
        } else {
            size_t offset = kept_bytes.size();
            kept_bytes.append(transaction->bytes, event.offset, event.size);
            event.offset = offset;
        }
        return goes;
    });
    transaction->bytes = std::move(kept_bytes);
    push_lost(name, delivery, "a transaction made more events than rtd.max_transaction_events");
    tally_of(topic).collapsed_level = level;
    transaction->has_collapsed = true;
}

// Its topic collapsed after it was made.
bool is_superseded(const Pending &event) {
    if (!transaction->has_collapsed || event.says_lost)
        return false;
    const Tally *tally = find_tally(event.topic_key);
    return tally != nullptr && tally->collapsed_level > 0;
}

bool is_wanted(const Pending &event) {
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

// The hub must be able to tell that it is still to come: for its place in the order of commits, or
// because a query may see it before.
bool is_announced(const Pending &event) {
    return event.size > 0 && event.delivery != Delivery::state_change;
}

// Has its place in the order of commits.
bool is_ordered(const Pending &event) {
    return is_announced(event) && event.delivery != Delivery::keyed_change;
}

// Called with the queue locked, so that no scan of the hub comes between position and append.
CommitPosition commit_position() {
    if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
        return {XactLastCommitEnd, true};
    return {GetXLogInsertRecPtr(), false};
}

// Runs after the transaction became visible and may not fail: copies bytes, nothing else.
void publish() {
    // Between "visible to new snapshots" and "is anybody interested": pairs with add_interest().
    pg_memory_barrier();
    bool catalog_changed = false;
    bool locked = false;
    CommitPosition position; // of what is not ordered: before everything
    for (const Pending &event : transaction->events) {
        if (event.size == 0) {
            catalog_changed = true;
            pg_atomic_fetch_add_u64(event.is_definition ? &shared->definition_generation
                                                        : &shared->catalog_generation,
                                    1);
        } else if (!is_superseded(event) && is_wanted(event)) {
            if (!locked)
                lock_event_queue();
            locked = true;
            if (is_ordered(event) && position.lsn == 0)
                position = commit_position();
            append_event({transaction->bytes.data() + event.offset, event.size}, event.topic_key,
                         position);
        }
    }
    if (locked)
        unlock_event_queue();
    withdraw();
    if (locked || catalog_changed)
        wake_hub_if_it_sleeps();
}

void on_transaction(XactEvent what, void *) {
    if (!transaction->in_use)
        return;
    switch (what) {
    case XACT_EVENT_PRE_COMMIT:
        if (shared != nullptr && std::ranges::any_of(transaction->events, is_announced))
            announce_commit();
        break;
    case XACT_EVENT_COMMIT:
        transaction->is_committed = true;
        break;
    case XACT_EVENT_ABORT:
        if (shared != nullptr)
            withdraw();
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
    if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !transaction->is_committed)
        return;
    if (shared != nullptr)
        publish();
    forget();
}

void on_subtransaction(SubXactEvent what, SubTransactionId, SubTransactionId, void *) {
    if (!transaction->in_use)
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

PreparedEvent prepare(const Event &event) {
    auto known = std::ranges::count_if(event.params, [](const auto &p) { return p.has_value(); });
    return {.interest_key = interest_key(event),
            .topic_key = topic_key(event.topic),
            .covers_interest = known == 0 || known == std::ssize(event.params),
            .says_lost = event.kind == EventKind::lost,
            .bytes = encode(event)};
}

void add_pending(const PreparedEvent &event, const std::string &topic, Delivery delivery) {
    const Tally &tally = tally_of(event.topic_key);
    if (tally.collapsed_level > 0)
        return;
    // More bytes than the queue has room for would be lost anyway, only later.
    uint64_t most_bytes = static_cast<uint64_t>(queue_kilobytes) * 1024;
    if (event.bytes.size() > most_bytes)
        push_lost(topic, delivery, "an event was larger than rtd.queue_size");
    else if (tally.events >= static_cast<uint64_t>(max_transaction_events) ||
             tally.bytes > most_bytes)
        collapse_topic(topic, event.topic_key, delivery);
    else
        push(event, delivery);
}

void add_pending(const Event &event, Delivery delivery) {
    add_pending(prepare(event), event.topic, delivery);
}

void add_lost(const std::string &topic, const std::string &reason) {
    push_lost(topic, Delivery::always, reason);
}

bool collapse_pending(uint64_t key, uint64_t topic) {
    const Tally *tally = find_tally(topic);
    if (tally != nullptr && tally->collapsed_level > 0)
        return true;
    return !current().collapsed.try_emplace(key, GetCurrentTransactionNestLevel()).second;
}

void publish_now(const Event &event, Delivery delivery) {
    PreparedEvent prepared = prepare(event);
    if (delivery != Delivery::always && !has_interest(prepared.interest_key))
        return;
    publish_now(prepared.bytes, prepared.topic_key);
}

void note_definitions_moved() {
    if (shared != nullptr)
        current().events.push_back(
            {.level = GetCurrentTransactionNestLevel(), .is_definition = true});
}

void note_catalog_change() {
    if (shared != nullptr)
        current().events.push_back({.level = GetCurrentTransactionNestLevel()});
}

} // namespace rtd::pg
