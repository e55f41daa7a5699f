#include "pg/pending_events.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "core/json_text.h"
#include "pg/announcements.h"
#include "pg/boundary.h"
#include "pg/event_queue.h"
#include "pg/interest.h"
#include "pg/settings.h"
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
    Delivery delivery = Delivery::always;
    uint64_t interest_key = 0;
    uint64_t topic_key = 0;
    bool says_lost = false;    // stands for events that are not kept
    bool may_be_known = false; // a state change that the mark of its interest key covers
    std::string bytes = {};    // encoded event; empty: the catalog changed
};

// How much of one topic the transaction holds back.
struct Tally {
    uint64_t events = 0;
    uint64_t bytes = 0;
    int collapsed_level = 0; // level that holds its `lost` event; 0: none
};

// Everything the running transaction holds back. Made by its first event, freed at its end.
struct Transaction {
    std::vector<Pending> events;                 // levels never fall from front to back
    std::unordered_map<uint64_t, int> collapsed; // key of collapse_pending() to its level
    std::unordered_map<uint64_t, Tally> tallies; // by topic
    bool has_collapsed = false;                  // some topic has, though perhaps rolled back
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

void untally(const Pending &event) {
    auto tally = transaction->tallies.find(event.topic_key);
    if (tally == transaction->tallies.end())
        return;
    tally->second.events--;
    tally->second.bytes -= event.bytes.size();
}

void rollback_level(int level) {
    while (!transaction->events.empty() && transaction->events.back().level >= level) {
        untally(transaction->events.back());
        transaction->events.pop_back();
    }
    std::erase_if(transaction->collapsed, [=](const auto &entry) { return entry.second >= level; });
    for (auto &[topic, tally] : transaction->tallies)
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
    for (auto &[topic, tally] : transaction->tallies)
        tally.collapsed_level = Min(tally.collapsed_level, level - 1);
}

// Whether the event concerns everything that has its interest key: one instance, or the whole
// topic. One that knows only some parameters shares the topic's key with others that know others.
bool covers_interest(const Event &event) {
    auto known = std::ranges::count_if(event.params, [](const auto &p) { return p.has_value(); });
    return known == 0 || known == std::ssize(event.params);
}

void push(const Event &event, Delivery delivery, uint64_t topic, std::string bytes) {
    Transaction &pending = current();
    pending.events.push_back(
        {.level = GetCurrentTransactionNestLevel(),
         .delivery = delivery,
         .interest_key = interest_key(event),
         .topic_key = topic,
         .says_lost = event.kind == EventKind::lost,
         .may_be_known = delivery == Delivery::state_change && covers_interest(event),
         .bytes = std::move(bytes)});
    Tally &tally = pending.tallies[topic];
    tally.events++;
    tally.bytes += pending.events.back().bytes.size();
}

void push_lost(const std::string &topic_name, uint64_t topic, Delivery delivery,
               const char *reason) {
    Event lost;
    lost.kind = EventKind::lost;
    lost.topic = topic_name;
    lost.payload = "{\"reason\": " + json_quote(reason) + "}";
    // A retained or stored message is lost also if nobody subscribes.
    bool matters = delivery == Delivery::always || delivery == Delivery::stored;
    push(lost, matters ? delivery : Delivery::if_subscribed, topic, encode(lost));
}

// The topic's events of this subtransaction give way to one that says that they are lost. Those of
// its parents, as many as the bound at most, are kept for the case that this one is rolled back.
void collapse_topic(const std::string &name, uint64_t topic, Delivery delivery) {
    int level = GetCurrentTransactionNestLevel();
    std::erase_if(transaction->events, [=](const Pending &event) {
        bool goes = event.topic_key == topic && event.level >= level;
        if (goes)
            untally(event);
        return goes;
    });
    push_lost(name, topic, delivery,
              "a transaction made more events than rtd.max_transaction_events");
    transaction->tallies[topic].collapsed_level = level;
    transaction->has_collapsed = true;
}

// Its topic collapsed after it was made.
bool is_superseded(const Pending &event) {
    if (!transaction->has_collapsed || event.says_lost)
        return false;
    auto tally = transaction->tallies.find(event.topic_key);
    return tally != transaction->tallies.end() && tally->second.collapsed_level > 0;
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
    withdraw_announcement();
    if (pg_atomic_read_u32(&shared->hub_holds) == 1)
        wake_hub_if_it_sleeps();
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
    CommitPosition position;
    for (const Pending &event : transaction->events) {
        if (event.bytes.empty()) {
            catalog_changed = true;
            pg_atomic_fetch_add_u64(&shared->catalog_generation, 1);
        } else if (!is_superseded(event) && is_wanted(event)) {
            if (!locked) {
                lock_event_queue();
                position = commit_position();
            }
            locked = true;
            append_event(event.bytes, event.topic_key, position);
        }
    }
    if (locked)
        unlock_event_queue();
    withdraw();
    if (locked || catalog_changed)
        wake_hub_if_it_sleeps();
}

void on_transaction(XactEvent what, void *) {
    if (transaction == nullptr)
        return;
    switch (what) {
    case XACT_EVENT_PRE_COMMIT:
        if (shared != nullptr)
            announce_commit();
        break;
    case XACT_EVENT_COMMIT:
        if (shared != nullptr)
            publish();
        forget();
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
                 errhint("Commit without PREPARE TRANSACTION, or do not write to watched tables "
                         "in this transaction.")));
        break;
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
    uint64_t topic = topic_key(event.topic);
    const Tally &tally = current().tallies[topic];
    if (tally.collapsed_level > 0)
        return;
    // More bytes than the queue has room for would be lost anyway, only later.
    uint64_t most_bytes = static_cast<uint64_t>(queue_kilobytes) * 1024;
    std::string bytes = encode(event);
    if (bytes.size() > most_bytes)
        push_lost(event.topic, topic, delivery, "an event was larger than rtd.queue_size");
    else if (tally.events >= static_cast<uint64_t>(max_transaction_events) ||
             tally.bytes > most_bytes)
        collapse_topic(event.topic, topic, delivery);
    else
        push(event, delivery, topic, std::move(bytes));
}

bool collapse_pending(uint64_t key) {
    return !current().collapsed.try_emplace(key, GetCurrentTransactionNestLevel()).second;
}

void publish_now(const Event &event, Delivery delivery) {
    std::string bytes = encode(event);
    if (delivery != Delivery::always && !has_interest(interest_key(event)))
        return;
    lock_event_queue();
    append_event(bytes, topic_key(event.topic), {GetXLogInsertRecPtr(), false});
    unlock_event_queue();
    wake_hub_if_it_sleeps();
}

void note_catalog_change() {
    if (shared != nullptr)
        current().events.push_back({.level = GetCurrentTransactionNestLevel()});
}

} // namespace rtd::pg
