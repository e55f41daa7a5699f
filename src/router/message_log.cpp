// Which job rtd_message needs next; the rules are in message_log.h.
#include "router/message_log.h"

#include <algorithm>
#include <utility>

#include "core/backoff.h"

namespace rtd {

namespace {

// A batch's transaction should not take long, nor its messages much of the hub's memory.
constexpr size_t kMaxBatchRows = 1000;
constexpr uint64_t kMaxBatchBytes = 4 << 20;

constexpr int64_t kFirstRetryMs = 250;
constexpr int64_t kLockedRetryMs = 2000;

// Looks for what can expire this often per retention; rtd_message has partitions of that length.
constexpr int64_t kExpiriesPerRetention = 6;

} // namespace

void MessageLog::recover() {
    recovers_ = true;
    rows_.clear();
    locked_.clear(); // it takes them along
}

void MessageLog::start() {
    recover();
    expiry_due_ms_ = 0;
}

void MessageLog::forget() {
    int64_t retention_ms = retention_ms_;
    *this = {};
    retention_ms_ = retention_ms;
}

void MessageLog::set_behind(uint64_t instance, bool is_behind) {
    if (is_behind)
        behind_.insert(instance);
    else
        behind_.erase(instance);
}

std::optional<MessageLog::Task> MessageLog::take(int64_t now_ms) {
    if (running_ || now_ms < not_before_ms_)
        return std::nullopt;
    bool recovers_locked = can_recover_locked(now_ms);
    if (recovers_locked)
        running_ = NumberJob{{}, false, {locked_.begin(), locked_.end()}};
    else if (recovers_ || (can_number() && !(numbered_last_ && !behind_.empty())))
        running_ = take_numbering();
    else if (!behind_.empty())
        running_ = take_reading();
    else if (expiry_due_ms_ && *expiry_due_ms_ <= now_ms)
        running_ = ExpireJob{retention_ms_};
    numbered_last_ = running_ && std::holds_alternative<NumberJob>(*running_);
    recovered_locked_last_ = recovers_locked;
    return running_;
}

bool MessageLog::can_recover_locked(int64_t now_ms) const {
    bool others_wait = can_number() || !behind_.empty();
    return !locked_.empty() && now_ms >= recover_locked_at_ms_ && !recovers_ &&
           !(recovered_locked_last_ && others_wait);
}

MessageLog::Task MessageLog::take_numbering() {
    NumberJob task;
    if (std::exchange(recovers_, false))
        return task;
    task.locked.assign(locked_.begin(), locked_.end());
    uint64_t bytes = 0;
    while (!rows_.empty() && batch_.size() < kMaxBatchRows && bytes < kMaxBatchBytes) {
        bytes += rows_.front().bytes;
        task.rows.push_back(rows_.front().id);
        task.expands = task.expands || rows_.front().for_many;
        batch_.push_back(rows_.front());
        rows_.pop_front();
    }
    return task;
}

MessageLog::Task MessageLog::take_reading() {
    auto next = behind_.upper_bound(last_read_);
    last_read_ = next != behind_.end() ? *next : *behind_.begin();
    return Reading{last_read_};
}

void MessageLog::finish(const LogOutcome &outcome, int64_t now_ms) {
    int64_t next_expiry_ms = now_ms + std::max<int64_t>(retention_ms_ / kExpiriesPerRetention, 1);
    if (const auto *numbered = std::get_if<NumberOutcome>(&outcome)) {
        if (const auto *job = running_ ? std::get_if<NumberJob>(&*running_) : nullptr)
            finish_numbering(*job, *numbered, now_ms);
        if (!numbered->messages.empty() && !expiry_due_ms_)
            expiry_due_ms_ = next_expiry_ms;
    } else if (const auto *expired = std::get_if<ExpireOutcome>(&outcome)) {
        expiry_due_ms_.reset();
        if (expired->has_messages)
            expiry_due_ms_ = next_expiry_ms;
    }
    batch_.clear();
    running_.reset();
    failures_ = 0;
}

// A recovery, of everything or of what was locked, is over when it finds no more; what is locked
// then is tried again later.
void MessageLog::finish_numbering(const NumberJob &job, const NumberOutcome &outcome,
                                  int64_t now_ms) {
    bool is_recovery = job.rows.empty(), is_of_all = is_recovery && job.locked.empty();
    if (is_of_all && outcome.is_partial)
        return recover();
    if (is_recovery && !outcome.is_partial)
        locked_.clear();
    locked_.insert(outcome.locked.begin(), outcome.locked.end());
    if (!is_recovery || outcome.is_partial) {
        if (!outcome.locked.empty() && locked_tries_ == 0)
            recover_locked_at_ms_ = now_ms + kFirstRetryMs;
        return;
    }
    locked_tries_ = locked_.empty() ? 0 : locked_tries_ + 1;
    recover_locked_at_ms_ =
        now_ms + backoff_ms(std::max(locked_tries_, 1), kFirstRetryMs, kLockedRetryMs);
}

int64_t MessageLog::fail(int64_t now_ms) {
    if (const auto *numbering = running_ ? std::get_if<NumberJob>(&*running_) : nullptr) {
        if (numbering->rows.empty() && !numbering->locked.empty())
            recover_locked_at_ms_ = now_ms;
        else if (numbering->rows.empty())
            recover();
        else if (!recovers_) // a recovery takes them along
            rows_.insert(rows_.begin(), batch_.begin(), batch_.end());
    }
    batch_.clear();
    running_.reset();
    int64_t wait_ms = backoff_ms(++failures_, kFirstRetryMs);
    not_before_ms_ = now_ms + wait_ms;
    return wait_ms;
}

bool MessageLog::has_work() const {
    return running_ || can_number() || !behind_.empty() || expiry_due_ms_ || !locked_.empty();
}

std::optional<int64_t> MessageLog::next_deadline_ms() const {
    if (running_)
        return std::nullopt; // its end wakes the hub
    if (can_number() || !behind_.empty())
        return not_before_ms_;
    std::optional<int64_t> due_ms = expiry_due_ms_;
    if (!locked_.empty())
        due_ms = std::min(due_ms.value_or(recover_locked_at_ms_), recover_locked_at_ms_);
    return due_ms ? std::optional(std::max(*due_ms, not_before_ms_)) : std::nullopt;
}

} // namespace rtd
