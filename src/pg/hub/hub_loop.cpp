#include "pg/hub/hub_loop.h"

#include <algorithm>
#include <ctime>
#include <malloc.h>
#include <utility>

#include "core/backoff.h"
#include "pg/hub/link_settings.h"
#include "pg/server/boundary.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/server/worker_transaction.h"
#include "pg/shared/event_queue.h"
#include "pg/shared/interest.h"
#include "pg/shared/shared_state.h"
#include "pg/store/message_store.h"
#include "pg/store/retained.h"

#include "pg/server/prelude.h"

extern "C" {
#include "pgstat.h"
#include "postmaster/interrupt.h"
}

namespace rtd::pg {

namespace {

constexpr int kMaxWaitEvents = 2 + kMaxGateways; // the postmaster's death, the latch, the links
constexpr long kFailingNapMs = 10;

} // namespace

Now read_clock() {
    timespec steady{};
    clock_gettime(CLOCK_MONOTONIC, &steady);
    constexpr int64_t kUnixToPostgresUs = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
    return {steady.tv_sec * 1000 + steady.tv_nsec / 1'000'000,
            GetCurrentTimestamp() + kUnixToPostgresUs};
}

// One that clients do not know.
static uint64_t random_seed() {
    uint64_t seed = 0;
    if (!pg_strong_random(&seed, sizeof seed))
        report(WARNING, "rtd hub could not make a random number");
    return seed;
}

HubLoop::HubLoop()
    // The wall clock as first epoch: a hub that starts later never repeats an epoch.
    : router_(*this, static_cast<uint64_t>(read_clock().wall_us), random_seed()),
      pool_(query_workers), turn_context_(call([] {
          return AllocSetContextCreate(TopMemoryContext, "rtd hub turn", ALLOCSET_DEFAULT_SIZES);
      })) {
    router_.set_settings(router_settings());
    clear_interest();
    watch_roles();
}

HubLoop::~HubLoop() {
    if (wait_set_ != nullptr)
        FreeWaitEventSet(wait_set_);
}

void HubLoop::run() {
    while (!ShutdownRequestPending)
        turn();
    shut_down();
}

void HubLoop::turn() {
    MemoryContextSwitchTo(turn_context_);
    MemoryContextReset(turn_context_);
    access_.begin_turn();
    Now now = read_clock();
    run_part(Part::catalog, now, [&] {
        call([] { CHECK_FOR_INTERRUPTS(); });
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            reload_settings(now);
        }
        reload_catalog_if_changed(now);
    });
    // One may still come when nothing is LISTENed to any more.
    run_part(Part::notifications, now, [&] { drain_notifications(now); });
    if (serving()) {
        run_part(Part::replies, now, [&] { collect_replies(now); });
        run_part(Part::intake, now, [&] { drain_queue(now, kEventsPerTurn); });
        run_part(Part::gateways, now, [&] { gateways_.tend(now); });
        run_part(Part::queries, now, [&] { give_queries(now); });
        run_part(Part::publishing, now, [&] { give_publishing(); });
        run_part(Part::store, now, [&] { give_store_jobs(now); });
        run_part(Part::gateways, now, [&] {
            gateways_.flush();
            give_memory_back(now);
        });
    }
    run_part(Part::waiting, now, [&] { sleep(); });
}

// What a crowd of instances, or a burst for the gateways, had: the allocator would keep it.
void HubLoop::give_memory_back(Now now) {
    if (memory_return_.is_due(router_.instance_bytes() + gateways_.waiting_bytes(), now.steady_ms))
        malloc_trim(0);
}

template <class Body> void HubLoop::run_part(Part part, Now now, Body body) {
    PartState &state = parts_[static_cast<size_t>(part)];
    if (now.steady_ms < state.not_before_ms)
        return;
    try {
        body();
        state = {};
    } catch (const Error &error) {
        after_error(part, error.message(), error.hint(), now);
    } catch (const std::exception &error) { // no memory, or a value that nobody checked
        after_error(part, error.what(), "", now);
    }
}

void HubLoop::after_error(Part part, const std::string &message, const std::string &hint, Now now) {
    constexpr int64_t kFirstPauseMs = 100;
    constexpr int64_t kLongestPauseMs = 5000;
    call([] {
        LWLockReleaseAll();
        pgstat_report_wait_end();
        AbortOutOfAnyTransaction();
    });
    MemoryContextSwitchTo(turn_context_);
    PartState &state = parts_[static_cast<size_t>(part)];
    int64_t pause_ms = backoff_ms(++state.failures, kFirstPauseMs, kLongestPauseMs);
    state.not_before_ms = now.steady_ms + pause_ms;
    complain(message, WARNING, "rtd hub: " + message, hint);
    bool may_have_lost = part == Part::notifications || part == Part::replies ||
                         part == Part::intake || part == Part::gateways;
    try {
        if (may_have_lost)
            router_.handle_loss([](uint64_t) { return true; }, "the server had an internal error",
                                now);
    } catch (const std::exception &error) {
        complain(error.what(), WARNING, std::string("rtd hub: ") + error.what());
    }
    if (part == Part::waiting) // nothing else keeps the loop from spinning
        call([&] {
            (void)WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, static_cast<long>(pause_ms),
                            PG_WAIT_EXTENSION);
        });
}

// ---- waiting ----

void HubLoop::make_wait_set() {
    if (wait_set_ != nullptr)
        FreeWaitEventSet(wait_set_);
    wait_set_ = call([&] {
        WaitEventSet *set = CreateWaitEventSet(RTD_WAIT_EVENT_SET_OWNER, kMaxWaitEvents);
        AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
        AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
        gateways_.add_to(set);
        return set;
    });
    wait_set_changes_ = gateways_.changes();
}

std::optional<int64_t> HubLoop::next_deadline_ms() const {
    std::optional<int64_t> next;
    auto consider = [&](std::optional<int64_t> at) {
        if (at)
            next = std::min(next.value_or(INT64_MAX), *at);
    };
    if (next_reload_ms_ > 0)
        consider(next_reload_ms_);
    for (const PartState &part : parts_)
        if (part.failures > 0)
            consider(part.not_before_ms);
    if (!serving())
        return next;
    consider(router_.next_deadline_ms());
    consider(pool_.next_deadline_ms());
    consider(gateways_.next_deadline_ms());
    consider(memory_return_.next_ms());
    if (!publishing_.is_idle())
        consider(publish_pool_.next_deadline_ms());
    consider(next_store_deadline_ms(read_clock()));
    return next;
}

std::optional<int64_t> HubLoop::next_store_deadline_ms(Now now) const {
    std::optional<int64_t> next;
    auto consider = [&](std::optional<int64_t> at) {
        if (at)
            next = std::min(next.value_or(INT64_MAX), *at);
    };
    if (!wants_store())
        return next;
    consider(store_pool_.next_deadline_ms());
    bool waits = numbers_wait(now);
    if (pool_or_any(store_pool_).count_idle() == 0 && !waits) {
        if (numbering_since_ms_) // others do the rest from then on
            consider(*numbering_since_ms_ + kNumberingPatienceMs);
        return next; // one that is free again wakes the hub
    }
    if (waits && pool_.count_idle() == 0 && pool_or_any(store_pool_).count_idle() == 0)
        return next;
    consider(waits ? router_.next_reading_deadline_ms() : router_.next_log_deadline_ms());
    if (router_.has_retained_reads())
        consider(0);
    if (router_.has_unstored_messages() && !storing_)
        consider(next_store_ms_);
    if (!unstored_notifications_.empty() && storing_notifications_ == 0)
        consider(next_notification_store_ms_);
    return next;
}

void HubLoop::sleep() {
    if (wait_set_ == nullptr || wait_set_changes_ != gateways_.changes())
        make_wait_set();
    std::optional<int64_t> deadline = next_deadline_ms();
    int64_t now_ms = read_clock().steady_ms;
    // Under load a nap, of which backends are not told: they would wake the hub for every commit.
    int64_t nap_ms = load_.nap_ms(now_ms);
    bool naps = nap_ms > 0;
    if (naps)
        deadline = std::min(deadline.value_or(INT64_MAX), now_ms + nap_ms);
    long timeout_ms = -1;
    if (deadline)
        timeout_ms = static_cast<long>(std::max<int64_t>(0, *deadline - now_ms));

    // Announce the sleep, then look once more: a backend does it the other way round.
    pg_atomic_write_u32(&shared->hub_holds, holds_events() ? 1 : 0);
    pg_atomic_exchange_u32(&shared->hub_sleeps, naps ? 0 : 1);
    bool catalog_changed =
        pg_atomic_read_u64(&shared->catalog_generation) != seen_generation_ && next_reload_ms_ == 0;
    if (more_events_ || catalog_changed || Listener::is_pending() ||
        (serving() && !naps && (!event_queue_is_empty() || may_release())))
        timeout_ms = 0;
    bool has_failed =
        std::ranges::any_of(parts_, [](const auto &part) { return part.failures > 0; });
    if (has_failed && timeout_ms == 0)
        timeout_ms = kFailingNapMs; // what is pending may be what cannot be done yet
    call([&] {
        gateways_.update(wait_set_);
        WaitEvent events[kMaxWaitEvents];
        gateways_.mark_ready(events, WaitEventSetWait(wait_set_, timeout_ms, events,
                                                      lengthof(events), PG_WAIT_EXTENSION));
        ResetLatch(MyLatch);
    });
    pg_atomic_write_u32(&shared->hub_sleeps, 0);
}

// ---- gateways ----

void HubLoop::handle(const link::GatewayFrame &frame, Now now) {
    std::visit([&](const auto &f) { handle(f, now); }, frame);
}

void HubLoop::forget_gateway(GatewayNumber gateway, Now now) {
    router_.forget_gateway(gateway, now);
    readiness_.forget_gateway(gateway);
    publishing_.forget_gateway(gateway);
}

void HubLoop::handle(const link::ClientConnected &frame, Now) {
    if (logs_events())
        log_event("[WS] Client connected: " + frame.address + " (" + std::to_string(frame.total) +
                  " total)");
}

void HubLoop::handle(const link::ClientDisconnected &frame, Now) {
    if (logs_events())
        log_event("[WS] Client disconnected: " + frame.address + " (" +
                  std::to_string(frame.remaining) + " remaining), code " +
                  std::to_string(frame.code) + (frame.reason.empty() ? "" : ": " + frame.reason));
}

void HubLoop::handle(const link::Subscribe &frame, Now now) {
    // A client that connects right after a topic was committed must find it.
    reload_catalog_if_changed(now);
    std::variant<Identity, link::Ended> client = access_.identify();
    if (link::Ended *refusal = std::get_if<link::Ended>(&client)) {
        refusal->subscription = frame.subscription;
        return gateways_.send(*refusal);
    }
    router_.subscribe(frame, std::get<Identity>(client), now);
}

void HubLoop::handle(const link::Unsubscribe &frame, Now now) {
    router_.unsubscribe(frame.subscription, now);
}

void HubLoop::handle(const link::Probe &frame, Now) {
    readiness_.on_gateway_probe(frame.probe);
}

void HubLoop::handle(const link::Pong &frame, Now) {
    Readiness::finish(frame.probe);
}

void HubLoop::handle(const link::Note &frame, Now) {
    report(LOG, "rtd-gateway: " + frame.text);
}

void HubLoop::handle(const link::Publish &frame, Now now) {
    reload_catalog_if_changed(now);
    if (std::optional<link::Ended> refusal = accept_publish(frame))
        gateways_.send(link::Published{frame.client, frame.request, 0, true, refusal->code,
                                       std::move(refusal->reason)});
}

// What cannot be published anyway does not wait for a query worker.
std::optional<link::Ended> HubLoop::accept_publish(const link::Publish &frame) {
    std::variant<Identity, link::Ended> client = access_.identify();
    if (link::Ended *refusal = std::get_if<link::Ended>(&client))
        return std::move(*refusal);
    const auto &identity = std::get<Identity>(client);
    auto topic = catalog_.topics.find(frame.topic);
    if (topic == catalog_.topics.end())
        return link::Ended{0, CloseCode::unknown_topic,
                           "topic \"" + frame.topic + "\" does not exist"};
    if (auto refusal = access_.refuse_to_publish(catalog_, identity, *topic->second))
        return refusal;
    size_t most_bytes = static_cast<size_t>(publish_queue_kilobytes) * 1024;
    std::vector<RunPublish> refused =
        publishing_.add({catalog_.schema, identity.role, frame}, most_bytes);
    if (!refused.empty())
        note_full_publish_queue();
    for (const RunPublish &job : refused)
        gateways_.send(link::Published{
            job.message.client, job.message.request, 0, true, CloseCode::too_many,
            "the server has as many messages to publish as it may have; try again"});
    return std::nullopt;
}

// Not more than once a minute.
void HubLoop::note_full_publish_queue() {
    constexpr int64_t kQuietMs = 60'000;
    int64_t now_ms = read_clock().steady_ms;
    if (publish_queue_noted_ms_ && now_ms < *publish_queue_noted_ms_ + kQuietMs)
        return;
    publish_queue_noted_ms_ = now_ms;
    report(WARNING, "rtd refuses messages that clients publish: as many wait as may",
           "They wait for a query worker. Raise rtd.query_workers or rtd.publish_queue_size, or "
           "allow fewer with "
           "rtd.client_message_rate.");
}

// ---- end ----

// Of what was handed to a query worker nobody knows whether it is stored.
void HubLoop::store_all_notifications() {
    auto first = unstored_notifications_.begin() + static_cast<ptrdiff_t>(storing_notifications_);
    std::vector<Event> events(first, unstored_notifications_.end());
    if (!events.empty())
        store_events(catalog_.schema, events);
}

void HubLoop::store_all_retained() {
    std::vector<RetainedMessage> messages = router_.unstored_messages(SIZE_MAX, SIZE_MAX);
    if (messages.empty())
        return;
    in_own_transaction([&] {
        pg::store_retained(catalog_.schema, messages, static_cast<size_t>(max_retained_messages));
    });
}

void HubLoop::shut_down() {
    // Events that were committed before the server was asked to stop may carry messages to retain.
    MemoryContextSwitchTo(turn_context_);
    try {
        if (serving()) {
            do
                drain_queue(read_clock(), SIZE_MAX);
            while (more_events_ || may_release());
            store_all_retained();
            store_all_notifications();
        }
    } catch (const Error &error) {
        report(WARNING, "rtd hub could not store all messages before it ends: " + error.message());
    }
    gateways_.shut_down(CloseCode::going_away, "the server shuts down", read_clock());
    pool_.stop();
    store_pool_.stop();
    publish_pool_.stop();
}

} // namespace rtd::pg
