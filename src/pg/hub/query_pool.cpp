#include "pg/hub/query_pool.h"

#include <algorithm>

#include "core/backoff.h"
#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "storage/shm_toc.h"
}

namespace rtd::pg {

namespace {

constexpr Size kQueueBytes = 256 * 1024; // per direction; longer messages pass in pieces

} // namespace

void QueryPool::start(Worker &worker, Now now) {
    release(worker); // what an attempt that failed half-way left
    try {
        try_to_start(worker);
    } catch (const Error &error) {
        return note_failed_start(worker, error.message(), now);
    }
    if (worker.handle == nullptr)
        note_failed_start(worker, "no background worker slot is free", now);
}

void QueryPool::try_to_start(Worker &worker) {
    call([&] {
        shm_toc_estimator estimator;
        shm_toc_initialize_estimator(&estimator);
        shm_toc_estimate_chunk(&estimator, kQueueBytes);
        shm_toc_estimate_chunk(&estimator, kQueueBytes);
        shm_toc_estimate_keys(&estimator, 2);
        Size size = shm_toc_estimate(&estimator);
        worker.segment = dsm_create(size, 0);
        dsm_pin_mapping(worker.segment);
        shm_toc *toc = shm_toc_create(kWorkerMagic, dsm_segment_address(worker.segment), size);
        shm_mq *requests = shm_mq_create(shm_toc_allocate(toc, kQueueBytes), kQueueBytes);
        shm_mq *replies = shm_mq_create(shm_toc_allocate(toc, kQueueBytes), kQueueBytes);
        shm_toc_insert(toc, kRequestKey, requests);
        shm_toc_insert(toc, kReplyKey, replies);
        shm_mq_set_sender(requests, MyProc);
        shm_mq_set_receiver(replies, MyProc);

        BackgroundWorker registration{};
        registration.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        registration.bgw_start_time = BgWorkerStart_RecoveryFinished;
        registration.bgw_restart_time = BGW_NEVER_RESTART;
        strlcpy(registration.bgw_name, "rtd query", BGW_MAXLEN);
        strlcpy(registration.bgw_type, "rtd query", BGW_MAXLEN);
        strlcpy(registration.bgw_library_name, "rtd", BGW_MAXLEN);
        strlcpy(registration.bgw_function_name, "rtd_query_worker_main", BGW_MAXLEN);
        registration.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(worker.segment));
        registration.bgw_notify_pid = MyProcPid;
        memcpy(registration.bgw_extra, &MyDatabaseId, sizeof MyDatabaseId);

        MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);
        if (RegisterDynamicBackgroundWorker(&registration, &worker.handle)) {
            worker.requests = shm_mq_attach(requests, worker.segment, worker.handle);
            worker.replies = shm_mq_attach(replies, worker.segment, worker.handle);
        }
        MemoryContextSwitchTo(previous);
    });
}

void QueryPool::note_failed_start(Worker &worker, const std::string &why, Now now) {
    release(worker);
    int64_t wait_ms = backoff_ms(++worker.failures);
    worker.start_at_ms = now.steady_ms + wait_ms;
    call([&] {
        ereport(WARNING,
                (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
                 errmsg("rtd hub could not start a query worker: %s", why.c_str()),
                 errdetail("The next attempt is in %d s.", static_cast<int>(wait_ms / 1000)),
                 errhint("Raise max_worker_processes if no slot is free: rtd needs one "
                         "for its hub, rtd.query_workers more, and two for messages.")));
    });
}

void QueryPool::release(Worker &worker) {
    call([&] {
        // First, and by its own function: a queue has a buffer for what came in pieces.
        for (shm_mq_handle *queue : {worker.requests, worker.replies})
            if (queue != nullptr)
                shm_mq_detach(queue);
        worker.requests = worker.replies = nullptr;
        if (worker.segment != nullptr)
            dsm_detach(worker.segment);
    });
    if (worker.handle != nullptr)
        pfree(worker.handle);
    worker.segment = nullptr;
    worker.handle = nullptr;
    worker.started = false;
    worker.job.reset();
    worker.unsent.clear();
}

bool QueryPool::has_died(Worker &worker) {
    pid_t pid = 0;
    switch (GetBackgroundWorkerPid(worker.handle, &pid)) {
    case BGWH_STARTED:
        worker.started = true;
        return false;
    case BGWH_NOT_YET_STARTED:
        return false;
    case BGWH_STOPPED:
    case BGWH_POSTMASTER_DIED:
        return true;
    }
    return true;
}

void QueryPool::push(Worker &worker) {
    if (worker.unsent.empty())
        return;
    shm_mq_result result = call([&] {
        return shm_mq_send(worker.requests, worker.unsent.size(), worker.unsent.data(), true, true);
    });
    if (result != SHM_MQ_WOULD_BLOCK) // sent, or detached: then has_died() notices
        worker.unsent.clear();
}

void QueryPool::advance(Now now, const OnReply &on_reply,
                        const std::function<void(const WorkerRequest &)> &on_lost) {
    for (Worker &worker : workers_) {
        if (worker.handle == nullptr) {
            if (worker.start_at_ms <= now.steady_ms)
                start(worker, now);
            continue;
        }
        push(worker);
        // An idle worker has nothing to say; asking its queue would only wake it.
        Size size = 0;
        void *data = nullptr;
        shm_mq_result result = SHM_MQ_WOULD_BLOCK;
        if (worker.job)
            result = call([&] { return shm_mq_receive(worker.replies, &size, &data, true); });
        if (result == SHM_MQ_SUCCESS) {
            Result<WorkerReply> reply =
                decode_reply(std::string_view(static_cast<char *>(data), size));
            if (!reply) { // it is of another mind, and of no use
                call([&] { ereport(WARNING, (errmsg("rtd hub: %s", reply.error().c_str()))); });
                TerminateBackgroundWorker(worker.handle);
                end(worker, now, on_lost);
                continue;
            }
            worker.failures = 0;
            WorkerRequest job = *std::exchange(worker.job, std::nullopt);
            const QueryDone *done = std::get_if<QueryDone>(&*reply);
            if (done != nullptr && done->outcome.is_open)
                worker.unsent = encode(EndRead{}); // unless on_reply() has more
            if (std::optional<ReadMore> more = on_reply(*reply)) {
                worker.unsent = encode(std::move(*more));
                worker.job = std::move(job);
            }
            push(worker);
        } else if (has_died(worker)) {
            end(worker, now, on_lost);
        }
    }
}

void QueryPool::end(Worker &worker, Now now,
                    const std::function<void(const WorkerRequest &)> &on_lost) {
    std::optional<WorkerRequest> lost = std::move(worker.job);
    worker.start_at_ms = now.steady_ms + backoff_ms(worker.failures++);
    release(worker);
    if (lost)
        on_lost(*lost);
}

bool QueryPool::is_working() const {
    return std::ranges::any_of(workers_,
                               [](const Worker &worker) { return worker.job.has_value(); });
}

bool QueryPool::Worker::is_idle() const {
    return handle != nullptr && !job && unsent.empty();
}

size_t QueryPool::count_idle() const {
    return static_cast<size_t>(std::ranges::count_if(workers_, &Worker::is_idle));
}

bool QueryPool::has_workers() const {
    return std::ranges::any_of(workers_,
                               [](const Worker &worker) { return worker.handle != nullptr; });
}

void QueryPool::submit(WorkerRequest request) {
    auto idle = std::ranges::find_if(workers_, &Worker::is_idle);
    Assert(idle != workers_.end());
    idle->unsent = encode(request);
    idle->job = std::move(request);
    push(*idle);
}

std::optional<int64_t> QueryPool::next_deadline_ms() const {
    std::optional<int64_t> next;
    for (const Worker &worker : workers_)
        if (worker.handle == nullptr)
            next = next ? std::min(*next, worker.start_at_ms) : worker.start_at_ms;
    return next;
}

void QueryPool::stop() {
    for (Worker &worker : workers_) {
        if (worker.handle == nullptr)
            continue;
        TerminateBackgroundWorker(worker.handle);
        release(worker);
    }
}

} // namespace rtd::pg
