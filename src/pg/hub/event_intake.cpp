// What comes in: events out of the queue, in the order of commits, and notifications. See
// hub_loop.h.
#include "pg/hub/hub_loop.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/json_text.h"
#include "pg/hub/hub_params.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/shared/announcements.h"
#include "pg/shared/event_queue.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

constexpr size_t kMostUnstoredBytes = 64 << 20;
constexpr char kFullQueue[] = "the server's event queue was full";

} // namespace

// At most so many of them go to the router now; the next turn goes on without a sleep.
void HubLoop::drain_queue(Now now, size_t most) {
    more_events_ = false;
    if (event_queue_is_empty() && order_.empty() && early_losses_.count == 0)
        return;
    LostEvents lost{};
    // What is taken may also let go of what waits.
    bool has_enough = order_.size() >= kMostWaiting && order_.first_lsn() <= release_bound_;
    if (!has_enough || most == SIZE_MAX)
        lost = take_events(now);
    if (!serving())
        return;
    if (order_.bytes() > static_cast<size_t>(queue_kilobytes) * 1024 && !may_release())
        lose_held_events(now);
    // What was lost is younger than what is here.
    release_events(now, lost.count > 0 ? SIZE_MAX : most);
    if (lost.count > 0)
        tell_lost(lost, now);
    tell_early_losses_again(now);
}

LostEvents HubLoop::take_events(Now now) {
    LostEvents lost = drain_into_order(now);
    // Of a loss that came while the queue was drained, what comes before it is here now.
    if (lost.up_to > release_bound_)
        lost.add(drain_into_order(now));
    return lost;
}

LostEvents HubLoop::drain_into_order(Now now) {
    release_bound_ = published_up_to(); // before the drain: see router/commit_order.h
    DrainedEvents drained = drain_events(&more_events_);
    load_.count(now.steady_ms, drained.events.size());
    reload_catalog_if_changed(now); // what was revoked before an event must not see it
    for (QueuedEvent &queued : drained.events)
        order_.add(queued.position, std::move(queued.bytes));
    return drained.lost;
}

// In batches, so that the router knows which events come next.
void HubLoop::release_events(Now now, size_t most) {
    std::vector<Event> batch;
    while (most > 0 && may_go()) {
        batch.clear();
        std::optional<std::string> problem = decode_batch(std::min(most, kEventsPerBatch), batch);
        most -= batch.size() + (problem ? 1 : 0);
        router_.expect(batch);
        for (const Event &event : batch)
            if (event.kind == EventKind::probe)
                answer_gateways(readiness_.on_event(event.origin, now));
            else
                router_.handle(event, now);
        if (problem)
            lose_undecoded(*problem, now);
    }
    if (may_go())
        more_events_ = true;
}

// Ends with one that cannot be read, and returns why.
std::optional<std::string> HubLoop::decode_batch(size_t most, std::vector<Event> &batch) {
    batch.reserve(most);
    while (batch.size() < most) {
        std::optional<std::string> bytes = order_.next(release_bound_);
        if (!bytes)
            break;
        Result<Event> event = decode_event(*bytes);
        if (!event)
            return event.error();
        batch.push_back(std::move(*event));
    }
    return std::nullopt;
}

// What order_.next() would give, as far as was known before the last drain.
bool HubLoop::may_go() const {
    return !order_.empty() && order_.first_lsn() <= release_bound_;
}

// Nobody knows of which topic it was.
void HubLoop::lose_undecoded(const std::string &problem, Now now) {
    complain("event", WARNING, "rtd hub: an event was lost: " + problem);
    router_.query_all_again(now);
    router_.handle_loss([](uint64_t) { return true; }, "the server could not read an event", now);
}

void HubLoop::tell_lost(const LostEvents &lost, Now now) {
    untold_losses_ += lost.count;
    bool is_told = complain(
        "full queue", WARNING,
        "rtd hub: " + std::to_string(untold_losses_) + " events were lost in a full event queue",
        "Raise rtd.queue_size. State topics are queried again, subscribers of event topics are "
        "told.",
        kMostLines);
    if (is_told)
        untold_losses_ = 0;
    tell_losses(lost, kFullQueue, now);
    if (lost.up_to > release_bound_)
        early_losses_.add(lost);
}

// Subscribers hear of a loss at once, but events from before it may still be held back: who read
// everything anew at the gap would take those for newer. So there is another gap after them.
void HubLoop::tell_early_losses_again(Now now) {
    if (early_losses_.count == 0 || early_losses_.up_to > release_bound_ ||
        (!order_.empty() && order_.first_lsn() <= early_losses_.up_to))
        return;
    tell_losses(std::exchange(early_losses_, {}), kFullQueue, now);
}

void HubLoop::tell_losses(const LostEvents &lost, const char *reason, Now now) {
    // One that is of no topic says that all queries are due.
    if (lost.concerns(topic_key("")))
        router_.query_all_again(now);
    router_.handle_loss([&](uint64_t topic) { return lost.concerns(topic); }, reason, now);
}

// They wait for a commit that was announced and does not come, and are as many as the queue holds:
// so they are lost as in a full queue. The others' clients hear of what is committed meanwhile.
void HubLoop::lose_held_events(Now now) {
    int process = first_announcer();
    LostEvents lost{};
    while (std::optional<std::string> bytes = order_.next(UINT64_MAX)) {
        Result<Event> event = decode_event(*bytes);
        if (event && event->kind == EventKind::probe)
            answer_gateways(readiness_.on_event(event->origin, now));
        else
            lost.add(topic_key(event ? event->topic : ""));
    }
    untold_held_losses_ += lost.count;
    bool is_told = complain(
        "held events", WARNING,
        "rtd hub: " + std::to_string(untold_held_losses_) +
            " events were lost that waited for the commit of process " + std::to_string(process) +
            ", as many as rtd.queue_size allows",
        "Look in pg_stat_activity what it waits for; often it is a synchronous standby that is "
        "missing.",
        kMostLines);
    if (is_told)
        untold_held_losses_ = 0;
    tell_losses(lost, "too many events waited for a commit before them", now);
}

// What is held back may go as soon as the last announced commit before it is done.
bool HubLoop::may_release() const {
    if (!holds_events())
        return false;
    uint64_t bound = published_up_to();
    return (!order_.empty() && bound >= order_.first_lsn()) ||
           (early_losses_.count > 0 && bound >= early_losses_.up_to);
}

void HubLoop::drain_notifications(Now now) {
    if (!Listener::is_pending())
        return;
    if (std::optional<std::string> warning = listener_.check_queue(now.steady_ms))
        report(WARNING, *warning,
               "Look in pg_stat_activity for a session that LISTENs and has been in a transaction "
               "for long; when the queue is full, NOTIFY fails.");
    std::vector<Notification> notifications = listener_.collect();
    for (const Notification &notification : notifications) {
        if (notification.channel == kProbeChannel)
            prove_ready(readiness_.on_notification(notification.payload));
        for (const Channel &channel : catalog_.channels) {
            if (channel.name != notification.channel)
                continue;
            Result<Event> event = to_event(notification, channel);
            if (event)
                event = with_canonical_params(std::move(*event), catalog_);
            if (event && catalog_.is_durable(channel.topic))
                keep_notification(std::move(*event));
            else if (event)
                router_.handle(*event, now);
            else
                complain("notification of " + channel.topic, WARNING,
                         "[DB_LISTENER] " + event.error(),
                         "The notification was ignored for topic \"" + channel.topic + "\".");
        }
    }
    if (listener_.lost_some())
        lose_notifications(now);
}

void HubLoop::lose_notifications(Now now) {
    constexpr char kReason[] = "more notifications came at once than the server keeps";
    report(WARNING, std::string("[DB_LISTENER] ") + kReason,
           "Topics that listen are queried again, or their subscribers are told of a gap.");
    std::set<std::string> topics;
    for (const Channel &channel : catalog_.channels)
        topics.insert(channel.topic);
    for (const std::string &topic : topics) {
        Event lost;
        lost.kind = EventKind::lost;
        lost.topic = topic;
        lost.origin = "LISTEN";
        lost.payload = "{\"reason\": " + json_quote(kReason) + "}";
        if (catalog_.is_durable(topic))
            keep_notification(std::move(lost));
        else
            router_.handle(lost, now);
    }
}

// Until they are stored: the server has handed them over, and has them no longer.
void HubLoop::keep_notification(Event event) {
    size_t bytes = event.payload.size() + kNotificationBytes;
    if (unstored_bytes_ + bytes <= kMostUnstoredBytes) {
        unstored_bytes_ += bytes;
        unstored_notifications_.push_back(std::move(event));
        return;
    }
    auto is_told = [&](const Event &kept) {
        return kept.kind == EventKind::lost && kept.topic == event.topic;
    };
    if (std::ranges::any_of(unstored_notifications_, is_told))
        return;
    event.kind = EventKind::lost;
    event.params.clear();
    event.payload = R"({"reason": "notifications could not be stored for too long"})";
    unstored_notifications_.push_back(std::move(event));
}

// A probe came through queue and LISTEN; the gateway is its last leg.
void HubLoop::prove_ready(uint64_t nonce) {
    answer_gateways(nonce);
    if (nonce != 0)
        gateways_.ping(nonce);
}

void HubLoop::answer_gateways(uint64_t nonce) {
    for (uint64_t probe : readiness_.take_gateway_probes(nonce))
        gateways_.send(
            link::Probed{probe, true, "an event travelled through queue, LISTEN and link"});
}

} // namespace rtd::pg
