// MessageLog: what the hub has to do about the table rtd_message, one job at a time. Pure logic.
//
// Broadcasters insert the messages of durable topics without a number and without waiting for each
// other; only the hub knows the order of their commits. So it has a query worker number them, in
// batches: while one is under way the next one collects. A message is sent only after the
// transaction that numbered it is on disk, so an id that a client has seen survives a crash.
//
// Recovery numbers, in the order of their rows, all messages whose event never came: after a start
// of the hub, and after events were lost. Nobody has seen them, and a transaction that began after
// another's commit has the higher row; so an effect is never numbered before its cause. Whatever
// was collected before is visible by then and goes with it.
//
// One job at a time is what makes the rest simple: what an instance reads from the table is exactly
// what it has been sent, and no live message overtakes it.
#pragma once
#include "core/fence.h"
#include "router/event.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace rtd {

// ---- jobs of a query worker, and what comes of them ----

// The numbers of an instance go on for ever; the epoch before them in an id changes when the server
// continues on another timeline, so that what a former primary numbered after the two parted is
// never taken for what is numbered here.
struct FormerEpoch {
    uint64_t epoch = 0;
    uint64_t newest = 0; // the last number given in it that this timeline has
};

// A message of a durable topic with its number.
struct NumberedMessage {
    std::string topic;
    std::vector<std::string> params;
    uint64_t epoch = 0;
    uint64_t former_epoch = 0; // the one before it; 0: none
    uint64_t sequence = 0;
    std::string body; // the whole envelope
};

// Gives numbers to these rows, in this order; those that have one keep it and are left out of the
// outcome. Without rows: to all that have none, as many as fit into one job.
//
// A topic that somebody is about to drop cannot be waited for: the rows of locked topics are left
// out of the former, and a recovery of just them follows.
struct NumberJob {
    std::vector<uint64_t> rows;
    bool expands = false;            // some are for many instances, and become a row for each
    std::vector<std::string> locked; // with rows: not those of these topics; else: only those
};

struct NumberOutcome {
    std::vector<NumberedMessage> messages; // in the order of their numbers
    bool is_partial = false;               // a recovery that has to go on
    std::vector<std::string> locked;       // topics that had rows, and got no numbers
};

// Reads messages of one instance: those after a number, the oldest first, as many as fit into one
// job; or the newest `most`.
struct ReadJob {
    uint64_t instance = 0;
    std::string topic;
    std::vector<std::string> params;
    std::optional<uint64_t> after;
    uint32_t most = 0;
};

struct ReadOutcome {
    uint64_t instance = 0;
    std::optional<uint64_t> after;         // as in the job
    uint64_t epoch = 0;                    // 0: the instance never had a message
    std::vector<FormerEpoch> former;       // ascending
    uint64_t newest = 0;                   // number of its newest message; 0: none
    uint64_t oldest = 0;                   // number of the oldest that is kept; newest + 1: none is
    std::vector<NumberedMessage> messages; // ascending
};

// Empties the partitions whose messages are all older than the retention.
struct ExpireJob {
    int64_t retention_ms = 0;
};

struct ExpireOutcome {
    bool has_messages = false; // some are left
};

// The transaction was rolled back.
struct LogFailure {
    std::string error;
};

using LogJob = std::variant<NumberJob, ReadJob, ExpireJob>;
using LogOutcome = std::variant<NumberOutcome, ReadOutcome, ExpireOutcome, LogFailure>;

// ---- which job is next ----

class MessageLog {
  public:
    // How long messages are kept at least. Partitions are a fraction of it.
    void set_retention(int64_t retention_ms) { retention_ms_ = retention_ms; }

    // A row of rtd_message that was committed, in the order of commits.
    void add(StoredRow row) { rows_.push_back(row); }
    // Rows may have been committed whose events were lost.
    void recover();
    // The same when the hub begins to serve: rows may also have expired meanwhile.
    void start();
    // Nothing is to be done, and nothing is under way.
    void forget();
    // The instance needs a job that reads its messages, or no longer does.
    void set_behind(uint64_t instance, bool is_behind);

    struct Reading {
        uint64_t instance;
    };
    using Task = std::variant<NumberJob, Reading, ExpireJob>;

    // The next task, if there is one and none is under way. It is until finish() or fail().
    std::optional<Task> take(int64_t now_ms);
    void finish(const LogOutcome &outcome, int64_t now_ms);
    // What the task was to do is done again, after a backoff. Returns its length.
    int64_t fail(int64_t now_ms);

    bool is_running() const { return running_.has_value(); }
    // Something is to be done, now or later.
    bool has_work() const;
    // When take() may have a task although nothing happens meanwhile.
    std::optional<int64_t> next_deadline_ms() const;

  private:
    bool can_number() const { return recovers_ || !rows_.empty(); }
    Task take_numbering();
    Task take_reading();
    bool can_recover_locked(int64_t now_ms) const;
    void finish_numbering(const NumberJob &job, const NumberOutcome &outcome, int64_t now_ms);

    std::deque<StoredRow> rows_;   // committed, in order, not yet numbered
    std::vector<StoredRow> batch_; // of the task that is under way
    bool recovers_ = false;
    std::set<std::string> locked_;     // topics whose rows wait until somebody ends a transaction
    int64_t recover_locked_at_ms_ = 0; // when that is tried again
    int locked_tries_ = 0;
    bool recovered_locked_last_ = false; // then it is the turn of others
    std::set<uint64_t> behind_;
    uint64_t last_read_ = 0;     // instance; the next one in turn comes after it
    bool numbered_last_ = false; // then it is the turn of those who read
    int64_t retention_ms_ = 0;
    std::optional<int64_t> expiry_due_ms_; // nullopt: there is nothing to expire
    std::optional<Task> running_;
    int64_t not_before_ms_ = 0;
    int failures_ = 0;
};

} // namespace rtd
