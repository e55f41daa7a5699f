// What the hub has query workers do, and what comes of it: see hub_loop.h.
#include "pg/hub/hub_loop.h"

#include <utility>

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

} // namespace

void HubLoop::tend_queries(Now now) {
    pool_.advance(
        now, [&](const WorkerReply &reply) { return handle(reply, now); },
        [&](const WorkerRequest &request) { handle_lost(request, now); });
    router_.finish_turn(now);
    // In turns, so that with one worker neither queries nor messages wait for ever.
    if (!published_last_)
        tend_publishing();
    while (pool_.has_idle()) {
        std::optional<QueryJob> job = router_.take_job(now, pool_.most_per_topic());
        if (!job)
            break;
        published_last_ = false;
        const Topic &topic = *job->topic;
        pool_.submit(RunQuery{.instance = job->instance,
                              .topic = topic.name,
                              .topic_generation = topic.generation,
                              .topic_version = topic.version,
                              .role = topic.is_invoker ? job->identity.role : topic.owner,
                              .is_invoker = topic.is_invoker,
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
    }
    tend_publishing();
}

void HubLoop::tend_publishing() {
    if (!publishing_.has_next() || !pool_.has_idle())
        return;
    pool_.submit(publishing_.take());
    published_last_ = true;
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
        router_.finish_log_job(done->outcome, now);
        return std::nullopt;
    }
    if (const PublishDone *done = std::get_if<PublishDone>(&reply)) {
        publishing_.finish();
        gateways_.send(done->answer);
        return std::nullopt;
    }
    finish_store(std::get<StoreDone>(reply));
    return std::nullopt;
}

void HubLoop::finish_store(const StoreDone &store) {
    if (!store.stored)
        report(WARNING, "rtd hub could not store retained messages: " + store.error,
               "They are kept in memory and tried again.");
    else if (storing_)
        for (const RetainedMessage &message : *storing_)
            if (std::ranges::find(store.locked, message.topic) == store.locked.end())
                router_.mark_stored(message.instance, message.sequence);
    for (const std::string &topic : store.bounded)
        router_.note_retained_bound(topic);
    storing_.reset();
}

void HubLoop::handle_lost(const WorkerRequest &request, Now now) {
    if (const RunQuery *run = std::get_if<RunQuery>(&request))
        router_.abandon_job(run->instance, now);
    else if (std::holds_alternative<RunLogJob>(request))
        router_.abandon_log_job(now);
    else if (const RunPublish *publish = std::get_if<RunPublish>(&request))
        handle(WorkerReply(PublishQueue::lost(*publish)), now);
    else
        storing_.reset();
}

// Messages of durable topics have a query worker of their own, while there are any.
void HubLoop::tend_messages(Now now) {
    if (!router_.has_log_jobs())
        return;
    log_pool_.advance(
        now, [&](const WorkerReply &reply) { return handle(reply, now); },
        [&](const WorkerRequest &request) { handle_lost(request, now); });
    if (!log_pool_.has_idle())
        return;
    if (std::optional<LogJob> job = router_.take_log_job(now))
        log_pool_.submit(RunLogJob{catalog_.schema, std::move(*job)});
}

void HubLoop::tend_retained(Now now) {
    if (!router_.has_unstored_messages() || storing_ || now.steady_ms < next_store_ms_ ||
        !pool_.has_idle())
        return;
    storing_ = router_.unstored_messages(kStoreMost, kStoreMostBytes);
    size_t bytes = 0;
    for (const RetainedMessage &message : *storing_)
        bytes += message.message.size();
    bool is_portion = storing_->size() == kStoreMost || bytes >= kStoreMostBytes;
    next_store_ms_ = now.steady_ms + (is_portion ? kStorePauseMs : kStoreIntervalMs);
    pool_.submit(
        StoreRetained{catalog_.schema, static_cast<uint32_t>(max_retained_messages), *storing_});
}

} // namespace rtd::pg
