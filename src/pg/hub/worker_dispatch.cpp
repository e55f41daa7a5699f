// What the hub has query workers do, and what comes of it: see hub_loop.h.
#include "pg/hub/hub_loop.h"

#include <algorithm>
#include <utility>

#include "core/backoff.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/store/message_store.h"
#include "pg/store/retained.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

constexpr int64_t kStoreIntervalMs = 1000; // retained messages are written at most this often
// Retained messages are written in portions, between which the query worker is free for queries.
constexpr size_t kStoreMost = 500;
constexpr size_t kStoreMostBytes = 1 << 20;
constexpr int64_t kStorePauseMs = 50;
constexpr size_t kReadMost = 100; // retained messages that one job reads
// Of notifications that cannot be stored.
constexpr int64_t kFirstStoreRetryMs = 250;
constexpr int64_t kLongestStoreRetryMs = 5000;

ReadRetainedDone failed(const std::vector<RetainedRead> &reads, const std::string &error) {
    ReadRetainedDone done;
    for (const RetainedRead &read : reads)
        done.answers.push_back({read.instance, true, error});
    return done;
}

} // namespace

// Before anything new comes in: a query that ran before an event is told before it.
void HubLoop::collect_replies(Now now) {
    auto collect = [&](QueryPool &pool) {
        pool.advance(
            now, [&](const WorkerReply &reply) { return handle(reply, now); },
            [&](const WorkerRequest &request, const char *why) { handle_lost(request, why, now); });
    };
    collect(pool_);
    if (wants_store() || store_pool_.is_working())
        collect(store_pool_);
    if (!publishing_.is_idle() || publish_pool_.is_working())
        collect(publish_pool_);
}

// A pool of one that has its worker, or may have none: there may be no slot for it.
QueryPool &HubLoop::pool_or_any(QueryPool &pool) {
    return pool.has_workers() ? pool : pool_;
}

const QueryPool &HubLoop::pool_or_any(const QueryPool &pool) const {
    return pool.has_workers() ? pool : pool_;
}

void HubLoop::give_queries(Now now) {
    router_.finish_turn(now);
    take_back_query(now);
    while (size_t idle = pool_.count_idle()) {
        bool is_only = pool_.size() == 1;
        std::optional<QueryJob> job =
            router_.take_job(now, pool_.most_per_topic(), !is_only && idle == 1, is_only);
        if (!job)
            break;
        query_in_hand_ = job->instance;
        const Topic &topic = *job->topic;
        pool_.submit(RunQuery{.instance = job->instance,
                              .topic = topic.name,
                              .topic_generation = topic.generation,
                              .topic_version = topic.version,
                              .role = topic.is_invoker ? job->identity.role : topic.owner,
                              .is_invoker = topic.is_invoker,
                              .gives_way_soon = idle == 1 && router_.has_locked_topics(),
                              .claims = job->identity.claims,
                              .search_path = topic.search_path,
                              .query = topic.query,
                              .shape = topic.shape,
                              .parameter_count = static_cast<uint32_t>(topic.parameters.size()),
                              .params = job->params,
                              .significant = topic.significant,
                              .last_message = std::move(job->last_message),
                              .key = topic.key,
                              .selection = std::move(job->selection)});
        query_in_hand_.reset();
    }
}

// There was no memory to make a job of it.
void HubLoop::take_back_query(Now now) {
    if (query_in_hand_)
        router_.abandon_job(*query_in_hand_, "the hub could not make a job of it", now);
    query_in_hand_.reset();
}

void HubLoop::give_publishing() {
    if (!publishing_.has_next())
        return;
    QueryPool &pool = pool_or_any(publish_pool_);
    if (pool.count_idle() > 0)
        pool.submit(publishing_.take());
}

std::optional<ReadMore> HubLoop::finish_job(const QueryDone &done, Now now) {
    // All that the snapshot shows has been published: see keyed_instance.h.
    if (done.outcome.is_open)
        drain_queue(now, SIZE_MAX);
    if (std::optional<QueryJob> more = router_.finish_job(done.instance, done.outcome, now))
        return ReadMore{std::move(more->selection)};
    return std::nullopt;
}

std::optional<ReadMore> HubLoop::handle(const WorkerReply &reply, Now now) {
    if (const QueryDone *done = std::get_if<QueryDone>(&reply))
        return finish_job(*done, now);
    if (const LogJobDone *done = std::get_if<LogJobDone>(&reply)) {
        finish_log_job(done->outcome, now);
        return std::nullopt;
    }
    if (const PublishDone *done = std::get_if<PublishDone>(&reply)) {
        publishing_.finish();
        gateways_.send(done->answer);
        return std::nullopt;
    }
    if (const ReadRetainedDone *done = std::get_if<ReadRetainedDone>(&reply)) {
        finish_retained_reads(*done, now);
        return std::nullopt;
    }
    if (const StoreNotificationsDone *done = std::get_if<StoreNotificationsDone>(&reply)) {
        finish_storing(*done, now);
        return std::nullopt;
    }
    finish_store(std::get<StoreDone>(reply));
    return std::nullopt;
}

void HubLoop::finish_log_job(const LogOutcome &outcome, Now now) {
    router_.finish_log_job(outcome, now);
    if (!router_.is_numbering())
        numbering_since_ms_.reset();
}

void HubLoop::finish_retained_reads(const ReadRetainedDone &done, Now now) {
    for (const RetainedAnswer &answer : done.answers) {
        if (answer.is_failed)
            complain("retained read", WARNING,
                     "rtd hub could not read a retained message: " + answer.text,
                     "Who subscribes is refused until it can be read.");
        router_.finish_retained_read(answer, now);
    }
}

void HubLoop::finish_store(const StoreDone &store) {
    if (!store.stored)
        complain("retained store", WARNING,
                 "rtd hub could not store retained messages: " + store.error,
                 "They are kept in memory and tried again.");
    else if (storing_)
        for (const Storing &message : *storing_)
            if (std::ranges::find(store.locked, message.topic) == store.locked.end())
                router_.mark_stored(message.instance, message.sequence);
    for (const std::string &topic : store.bounded)
        router_.note_retained_bound(topic);
    storing_.reset();
}

void HubLoop::handle_lost(const WorkerRequest &request, const char *why, Now now) {
    if (const RunQuery *run = std::get_if<RunQuery>(&request))
        router_.abandon_job(run->instance, why, now);
    else if (const RunLogJob *log = std::get_if<RunLogJob>(&request))
        handle_lost(log->job, why, now);
    else if (const RunPublish *publish = std::get_if<RunPublish>(&request))
        handle(WorkerReply(PublishQueue::lost(*publish)), now);
    else if (const ReadRetained *read = std::get_if<ReadRetained>(&request))
        finish_retained_reads(failed(read->reads, why), now);
    else if (std::holds_alternative<StoreNotifications>(request))
        finish_storing({why, {}}, now);
    else
        storing_.reset();
}

void HubLoop::handle_lost(const LogJob &job, const char *why, Now now) {
    const ReadJob *read = std::get_if<ReadJob>(&job);
    if (read != nullptr && router_.is_reading_beside(read->instance))
        router_.abandon_reading_beside(why, now);
    else
        router_.abandon_log_job(why, now);
    if (!router_.is_numbering())
        numbering_since_ms_.reset();
}

// ---- what is done with rtd's own tables, by one worker ----

// Numbers wait for a synchronous standby that is missing. What promises nothing does not: query
// workers do it meanwhile.
bool HubLoop::numbers_wait(Now now) const {
    return numbering_since_ms_ && now.steady_ms >= *numbering_since_ms_ + kNumberingPatienceMs;
}

QueryPool &HubLoop::store_workers(Now now) {
    QueryPool &own = pool_or_any(store_pool_);
    return own.count_idle() == 0 && numbers_wait(now) ? pool_ : own;
}

bool HubLoop::wants_store() const {
    return router_.has_log_jobs() || router_.has_retained_reads() ||
           router_.has_unstored_messages() || !unstored_notifications_.empty();
}

// The kinds take turns.
void HubLoop::give_store_jobs(Now now) {
    constexpr uint32_t kKinds = 4;
    for (uint32_t n = 1; n <= kKinds && store_workers(now).count_idle() > 0; n++) {
        uint32_t kind = (last_store_kind_ + n) % kKinds;
        bool given = false;
        if (kind == 0)
            given = give_log_job(now);
        else if (kind == 1)
            given = give_retained_reads(now);
        else if (kind == 2)
            given = give_notifications(now);
        else
            given = give_retained(now);
        if (given) {
            last_store_kind_ = kind;
            return;
        }
    }
}

bool HubLoop::give_log_job(Now now) {
    RunLogJob run{catalog_.schema, {}};
    std::optional<LogJob> job =
        numbers_wait(now) ? router_.take_reading_beside(now) : router_.take_log_job(now);
    if (!job)
        return false;
    if (std::holds_alternative<NumberJob>(*job))
        numbering_since_ms_ = now.steady_ms;
    run.job = std::move(*job);
    store_workers(now).submit(std::move(run));
    return true;
}

bool HubLoop::give_retained_reads(Now now) {
    ReadRetained job{catalog_.schema, {}};
    job.reads = router_.take_retained_reads(kReadMost);
    if (job.reads.empty())
        return false;
    store_workers(now).submit(std::move(job));
    return true;
}

bool HubLoop::give_notifications(Now now) {
    if (unstored_notifications_.empty() || storing_notifications_ > 0 ||
        now.steady_ms < next_notification_store_ms_)
        return false;
    StoreNotifications job{catalog_.schema, {}};
    size_t bytes = 0;
    for (const Event &event : unstored_notifications_) {
        if (job.events.size() == kStoreMost || bytes >= kStoreMostBytes)
            break;
        job.events.push_back(encode(event));
        bytes += job.events.back().size();
    }
    storing_notifications_ = job.events.size();
    store_workers(now).submit(std::move(job));
    return true;
}

void HubLoop::finish_storing(const StoreNotificationsDone &done, Now now) {
    size_t count =
        std::min(std::exchange(storing_notifications_, 0), unstored_notifications_.size());
    if (!done.error.empty()) {
        next_notification_store_ms_ =
            now.steady_ms +
            backoff_ms(++notification_failures_, kFirstStoreRetryMs, kLongestStoreRetryMs);
        complain("notifications", WARNING,
                 "[DB_LISTENER] " + std::to_string(unstored_notifications_.size()) +
                     " notifications for durable topics cannot be stored yet: " + done.error);
        return;
    }
    notification_failures_ = 0;
    auto end = unstored_notifications_.begin() + static_cast<ptrdiff_t>(count);
    for (auto event = unstored_notifications_.begin(); event != end; ++event)
        unstored_bytes_ -= std::min(unstored_bytes_, event->payload.size() + kNotificationBytes);
    unstored_notifications_.erase(unstored_notifications_.begin(), end);
    for (const std::string &bytes : done.events)
        if (Result<Event> event = decode_event(bytes))
            router_.handle(*event, now);
}

bool HubLoop::give_retained(Now now) {
    if (!router_.has_unstored_messages() || storing_ || now.steady_ms < next_store_ms_)
        return false;
    StoreRetained job{catalog_.schema, static_cast<uint32_t>(max_retained_messages),
                      router_.unstored_messages(kStoreMost, kStoreMostBytes)};
    size_t bytes = 0;
    std::vector<Storing> storing;
    storing.reserve(job.messages.size());
    for (const RetainedMessage &message : job.messages) {
        bytes += message.message.size();
        storing.push_back({message.instance, message.sequence, message.topic});
    }
    bool is_portion = job.messages.size() == kStoreMost || bytes >= kStoreMostBytes;
    storing_ = std::move(storing);
    next_store_ms_ = now.steady_ms + (is_portion ? kStorePauseMs : kStoreIntervalMs);
    store_workers(now).submit(std::move(job));
    return true;
}

} // namespace rtd::pg
