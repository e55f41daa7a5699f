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
// What cannot be numbered, because of a lock or an error, holds up its topic and no other: the rows
// of a batch that failed are tried topic by topic, and a topic that fails alone is held, with a
// backoff, and its later rows wait behind. Recovery goes the same way.
//
// One job at a time is what makes the rest simple: what an instance reads from the table is exactly
// what it has been sent, and no live message overtakes it. The one exception is for numbers that
// wait long, as for a synchronous standby: then one reading after another may run beside them. What
// is numbered is visible only when that wait is over, so readers see what was sent before; if it
// ends while something is read, that instance reads once more.
#pragma once
#include "core/fence.h"
#include "router/event.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
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
struct NumberJob {
    std::vector<uint64_t> rows;
    bool expands = false; // some are for many instances, and become a row for each
    std::string topic;    // without rows: only of this one; empty: of all
};

struct NumberOutcome {
    std::vector<NumberedMessage> messages; // in the order of their numbers
    bool is_partial = false;               // a recovery that has to go on
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
    std::optional<uint64_t> reading = {}; // instance, if it was to be read
};

using LogJob = std::variant<NumberJob, ReadJob, ExpireJob>;
using LogOutcome = std::variant<NumberOutcome, ReadOutcome, ExpireOutcome, LogFailure>;

// ---- which job is next ----

class MessageLog {
  public:
    // How long messages are kept at least. Partitions are a fraction of it.
    void set_retention(int64_t retention_ms) { retention_ms_ = retention_ms; }

    // A row of rtd_message that was committed, in the order of commits.
    void add(const std::string &topic, StoredRow row);
    // Rows may have been committed whose events were lost.
    void recover();
    // The same when the hub begins to serve: rows may also have expired meanwhile.
    void start();
    // Nothing is to be done, and nothing is under way.
    void forget();
    // The instance needs a job that reads its messages, or no longer does. One that is loading does
    // before what is added from now on is numbered.
    void set_behind(uint64_t instance, bool is_behind, bool is_loading);
    std::vector<uint64_t> behind() const; // the instances that need one

    struct Reading {
        uint64_t instance;
    };
    using Task = std::variant<NumberJob, Reading, ExpireJob>;

    // The next task, if there is one and none is under way. It is until finish() or fail().
    std::optional<Task> take(int64_t now_ms);
    // A reading beside numbers that wait, if there is one to do and none is under way. It is until
    // finish() or fail_reading_beside().
    std::optional<Reading> take_reading_beside(int64_t now_ms);
    bool is_numbering() const { return running_ && std::holds_alternative<NumberJob>(*running_); }
    bool is_reading_beside() const { return beside_.has_value(); }
    bool is_read_beside(uint64_t instance) const { return beside_ == instance; }
    int64_t fail_reading_beside(int64_t now_ms);
    // When take_reading_beside() may have something.
    std::optional<int64_t> next_reading_deadline_ms() const;
    void finish(const LogOutcome &outcome, int64_t now_ms);
    // take() failed half-way, or what it returned was not given to anybody. Needs no memory.
    void take_back() noexcept;
    // What the task was to do is done again, after a backoff; returns its length. `topics`: all
    // that are durable.
    int64_t fail(int64_t now_ms, const std::vector<std::string> &topics);

    bool is_running() const { return running_.has_value(); }
    // Something is to be done, now or later.
    bool has_work() const;
    // When take() may have a task although nothing happens meanwhile.
    std::optional<int64_t> next_deadline_ms() const;

  private:
    struct Row {
        uint64_t position; // in the order of add()
        std::string topic;
        StoredRow stored;
    };
    // When to try again, after failures in a row.
    struct Retry {
        int64_t not_before_ms = 0;
        int failures = 0;

        int64_t after_failure(int64_t now_ms, int64_t longest_ms);
    };
    // A topic that could not be numbered together with others.
    struct Held {
        std::deque<StoredRow> rows;
        bool recovers = false;
        Retry retry = {};
    };
    // A new instance's first reading, which comes before rows from this position on.
    struct Loading {
        uint64_t before;
        uint64_t instance;
    };

    bool may_number() const;
    bool next_is_loading();
    std::optional<uint64_t> next_behind(int64_t now_ms) const;
    std::optional<std::string> next_held(int64_t now_ms) const;
    NumberJob take_rows();
    NumberJob take_held(const std::string &topic);
    Task read(uint64_t instance);
    void hold(const std::string &topic);
    int64_t fail_numbering(const NumberJob &job, int64_t now_ms,
                           const std::vector<std::string> &topics);

    std::deque<Row> rows_; // committed, in order, not yet numbered, of topics that are not held
    uint64_t next_position_ = 0;
    std::vector<Row> batch_;                // of the task that is under way
    std::optional<std::string> held_batch_; // it is of this topic alone
    std::map<std::string, Held> held_;
    std::string last_held_; // that was taken
    bool recovers_ = false;
    std::map<uint64_t, Retry> behind_; // instances
    std::deque<Loading> loading_;      // some of them, or no longer
    uint64_t last_read_ = 0;           // instance; the next one in turn comes after it
    bool numbered_last_ = false;       // then it is the turn of those who read
    bool held_last_ = false;           // or of those that are not held
    int64_t retention_ms_ = 0;
    std::optional<int64_t> expiry_due_ms_; // nullopt: there is nothing to expire
    Retry expiry_retry_;
    Retry recovery_retry_; // while no topic is known
    std::optional<Task> running_;
    std::optional<uint64_t> beside_; // the instance that is read meanwhile
};

} // namespace rtd
