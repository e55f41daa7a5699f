// Query pool: the hub's side of its query workers. Starts them as dynamic background workers, gives
// each one job at a time, collects replies, and replaces workers that die, with a backoff.
//
// A job that was submitted ends in one of two ways, whatever fails in between: its reply is handed
// on, or it is told as lost. A worker that may still be at work on a lost job is ended first, so
// that nobody does it again beside it.
#pragma once
#include "pg/query/query_job.h"
#include "router/clock.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pg/server/prelude.h"

extern "C" {
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"
}

namespace rtd::pg {

class QueryPool {
  public:
    explicit QueryPool(int size) : workers_(static_cast<size_t>(size)) {}
    ~QueryPool() { stop(); }

    // How many jobs of one topic may run at a time, so that a slow one leaves room for others.
    size_t most_per_topic() const { return std::max<size_t>(1, workers_.size() - 1); }

    // Starts workers that are missing and due, notices those that died, moves bytes. Calls
    // `on_reply` for each finished job, which may answer an open outcome with what the worker is to
    // read before it is; `on_lost` for each job that gets no reply, with the reason. What one of
    // the two throws is passed on once all workers were looked after; the job counts as lost.
    using OnReply = std::function<std::optional<ReadMore>(const WorkerReply &)>;
    using OnLost = std::function<void(const WorkerRequest &, const char *why)>;
    void advance(Now now, const OnReply &on_reply, const OnLost &on_lost);
    size_t count_idle() const;
    bool is_working() const; // some job is not finished
    size_t size() const { return workers_.size(); }
    bool has_workers() const; // false: none runs or is about to
    // Only if count_idle() > 0. Does not fail: a job that cannot be given is told as lost.
    void submit(WorkerRequest request) noexcept;

    // When advance() must be called at the latest although no latch was set.
    std::optional<int64_t> next_deadline_ms() const;

    // Ends all workers, whatever they do. Their jobs are lost without a call of on_lost.
    void stop();

  private:
    struct Worker {
        BackgroundWorkerHandle *handle = nullptr; // nullptr: not running
        dsm_segment *segment = nullptr;
        shm_mq_handle *requests = nullptr;
        shm_mq_handle *replies = nullptr;
        bool started = false;             // has been seen running
        std::optional<WorkerRequest> job; // what it works on
        std::string unsent;               // bytes of the job that did not fit into the queue yet
        const char *lost = nullptr;       // why the job gets no reply; it is still to be told
        bool ends = false;                // it was told to, because it is of no use any more
        int64_t start_at_ms = 0;          // not before
        int failures = 0;                 // in a row

        bool is_idle() const;
    };

    void start(Worker &worker, Now now);
    void try_to_start(Worker &worker);
    void note_failed_start(Worker &worker, const std::string &why, Now now);
    void advance(Worker &worker, Now now, const OnReply &on_reply, const OnLost &on_lost);
    static std::optional<WorkerReply> receive(Worker &worker) noexcept;
    static void hand_on(Worker &worker, const WorkerReply &reply, const OnReply &on_reply);
    static void tell_lost(Worker &worker, const OnLost &on_lost);
    static void dismiss(Worker &worker, const std::exception &problem) noexcept;
    void end(Worker &worker, Now now);
    void release(Worker &worker);
    static void push(Worker &worker) noexcept;
    bool has_died(Worker &worker);

    std::vector<Worker> workers_;
};

} // namespace rtd::pg
