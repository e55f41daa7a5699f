#include "pg/hub/query_pool.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/backoff.h"
#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "storage/shm_toc.h"
}

namespace rtd::pg {

namespace {

constexpr Size kQueueBytes = 256 * 1024; // per direction; longer messages pass in pieces

// Why a job got no reply.
constexpr char kEnded[] = "the query worker ended unexpectedly";
constexpr char kNotGiven[] = "the hub could not give the query worker its job";
constexpr char kUnheard[] = "the hub could not use what the query worker answered";

// There may be no memory for more than the line itself.
void log_problem(const char *what, const std::exception &problem) noexcept {
    try {
        call([&] { ereport(WARNING, (errmsg("%s: %s", what, problem.what()))); });
    } catch (const std::exception &) {
        write_stderr("%s\n", what);
    }
}

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
    worker.started = worker.ends = false;
    worker.job.reset();
    worker.lost = nullptr;
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

void QueryPool::push(Worker &worker) noexcept {
    if (worker.unsent.empty())
        return;
    try {
        shm_mq_result result = call([&] {
            return shm_mq_send(worker.requests, worker.unsent.size(), worker.unsent.data(), true,
                               true);
        });
        if (result != SHM_MQ_WOULD_BLOCK) // sent, or detached: then has_died() notices
            worker.unsent.clear();
    } catch (const std::exception &problem) {
        dismiss(worker, problem);
    }
}

void QueryPool::advance(Now now, const OnReply &on_reply, const OnLost &on_lost) {
    std::exception_ptr problem;
    for (Worker &worker : workers_) {
        try {
            advance(worker, now, on_reply, on_lost);
        } catch (...) {
            problem = std::current_exception();
        }
    }
    if (problem)
        std::rethrow_exception(problem);
}

void QueryPool::advance(Worker &worker, Now now, const OnReply &on_reply, const OnLost &on_lost) {
    if (worker.lost != nullptr)
        tell_lost(worker, on_lost);
    if (worker.handle == nullptr) {
        if (worker.start_at_ms <= now.steady_ms)
            start(worker, now);
        return;
    }
    push(worker);
    std::optional<WorkerReply> reply;
    if (worker.job && !worker.ends) // an idle worker has nothing to say; to ask would wake it
        reply = receive(worker);
    if (reply) {
        hand_on(worker, *reply, on_reply);
    } else if (has_died(worker)) {
        end(worker, now);
        tell_lost(worker, on_lost);
    }
}

// nullopt: there is none yet, or there will be none.
std::optional<WorkerReply> QueryPool::receive(Worker &worker) noexcept {
    try {
        Size size = 0;
        void *data = nullptr;
        shm_mq_result result =
            call([&] { return shm_mq_receive(worker.replies, &size, &data, true); });
        if (result != SHM_MQ_SUCCESS)
            return std::nullopt;
        Result<WorkerReply> reply = decode_reply(std::string_view(static_cast<char *>(data), size));
        if (reply)
            return std::move(*reply);
        throw Error(ERRCODE_INTERNAL_ERROR, reply.error());
    } catch (const std::exception &problem) {
        dismiss(worker, problem);
        return std::nullopt;
    }
}

void QueryPool::hand_on(Worker &worker, const WorkerReply &reply, const OnReply &on_reply) {
    worker.failures = 0;
    worker.lost = kUnheard; // unless all of this comes to its end
    const QueryDone *done = std::get_if<QueryDone>(&reply);
    bool is_open = done != nullptr && done->outcome.is_open;
    if (is_open)
        worker.unsent = encode(EndRead{}); // unless on_reply() has more
    std::optional<ReadMore> more = on_reply(reply);
    if (more)
        worker.unsent = encode(std::move(*more));
    else
        worker.job.reset();
    worker.lost = nullptr;
    push(worker);
}

// Told again if that fails.
void QueryPool::tell_lost(Worker &worker, const OnLost &on_lost) {
    if (worker.job)
        on_lost(*worker.job, worker.lost);
    worker.job.reset();
    worker.lost = nullptr;
}

// What it has for its job cannot be had any more. The job counts as lost when the worker has ended.
void QueryPool::dismiss(Worker &worker, const std::exception &problem) noexcept {
    worker.ends = true;
    worker.unsent.clear();
    TerminateBackgroundWorker(worker.handle);
    log_problem("rtd hub ends a query worker that it cannot talk to", problem);
}

void QueryPool::end(Worker &worker, Now now) {
    worker.start_at_ms = now.steady_ms + backoff_ms(worker.failures++);
    std::optional<WorkerRequest> lost = std::move(worker.job);
    release(worker);
    worker.job = std::move(lost);
    worker.lost = kEnded;
}

bool QueryPool::is_working() const {
    return std::ranges::any_of(workers_,
                               [](const Worker &worker) { return worker.job.has_value(); });
}

bool QueryPool::Worker::is_idle() const {
    return handle != nullptr && !ends && !job && unsent.empty();
}

size_t QueryPool::count_idle() const {
    return static_cast<size_t>(std::ranges::count_if(workers_, &Worker::is_idle));
}

bool QueryPool::has_workers() const {
    return std::ranges::any_of(workers_,
                               [](const Worker &worker) { return worker.handle != nullptr; });
}

void QueryPool::submit(WorkerRequest request) noexcept {
    auto idle = std::ranges::find_if(workers_, &Worker::is_idle);
    Assert(idle != workers_.end());
    idle->job = std::move(request);
    try {
        idle->unsent = encode(*idle->job);
        if (idle->unsent.size() > MaxAllocSize)
            throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "it is too large");
    } catch (const std::exception &problem) {
        idle->unsent.clear();
        idle->lost = kNotGiven;
        return log_problem("rtd hub could not give a query worker its job", problem);
    }
    push(*idle);
}

std::optional<int64_t> QueryPool::next_deadline_ms() const {
    std::optional<int64_t> next;
    for (const Worker &worker : workers_) {
        if (worker.lost != nullptr)
            next = 0;
        if (worker.handle == nullptr)
            next = next ? std::min(*next, worker.start_at_ms) : worker.start_at_ms;
    }
    return next;
}

void QueryPool::stop() {
    for (Worker &worker : workers_) {
        if (worker.handle != nullptr)
            TerminateBackgroundWorker(worker.handle);
        release(worker);
    }
}

} // namespace rtd::pg
