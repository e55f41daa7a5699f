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
constexpr int64_t kLongestReadRetryMs = 1000; // within the patience of those who come
constexpr int64_t kLongestRetryMs = 5000;     // a lock is given back some time

// Looks for what can expire this often per retention; rtd_message has partitions of that length.
constexpr int64_t kExpiriesPerRetention = 6;

} // namespace

int64_t MessageLog::Retry::after_failure(int64_t now_ms, int64_t longest_ms) {
    int64_t wait_ms = backoff_ms(++failures, kFirstRetryMs, longest_ms);
    not_before_ms = now_ms + wait_ms;
    return wait_ms;
}

void MessageLog::add(const std::string &topic, StoredRow row) {
    if (auto held = held_.find(topic); held != held_.end())
        held->second.rows.push_back(row);
    else
        rows_.push_back({next_position_++, topic, row});
}

void MessageLog::recover() {
    recovers_ = true;
    rows_.clear();
    held_.clear();
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

void MessageLog::set_behind(uint64_t instance, bool is_behind, bool is_loading) {
    if (!is_behind)
        behind_.erase(instance);
    else if (behind_.try_emplace(instance).second && is_loading)
        loading_.push_back({next_position_, instance});
}

std::vector<uint64_t> MessageLog::behind() const {
    std::vector<uint64_t> instances;
    for (const auto &[instance, retry] : behind_)
        instances.push_back(instance);
    return instances;
}

// ---- what is next ----

std::optional<MessageLog::Task> MessageLog::take(int64_t now_ms) {
    if (running_ || beside_)
        return std::nullopt;
    std::optional<uint64_t> behind = next_behind(now_ms);
    std::optional<std::string> held = next_held(now_ms);
    bool was_held = std::exchange(held_last_, false),
         numbered = std::exchange(numbered_last_, false);
    if (recovers_ && now_ms >= recovery_retry_.not_before_ms) {
        recovers_ = false;
        running_ = NumberJob{};
    } else if (next_is_loading()) {
        uint64_t instance = loading_.front().instance;
        loading_.pop_front();
        running_ = read(instance);
    } else if (held && !(was_held && (may_number() || behind))) {
        held_last_ = true;
        running_ = take_held(*held);
    } else if (may_number() && !(numbered && behind)) {
        numbered_last_ = true;
        running_ = take_rows();
    } else if (behind) {
        running_ = read(*behind);
    } else if (expiry_due_ms_ && std::max(*expiry_due_ms_, expiry_retry_.not_before_ms) <= now_ms) {
        running_ = ExpireJob{retention_ms_};
    }
    return running_;
}

std::optional<MessageLog::Reading> MessageLog::take_reading_beside(int64_t now_ms) {
    if (!is_numbering() || beside_)
        return std::nullopt;
    std::optional<uint64_t> behind = next_behind(now_ms);
    if (!behind)
        return std::nullopt;
    std::erase_if(loading_, [&](const Loading &loading) { return loading.instance == *behind; });
    beside_ = last_read_ = *behind;
    return Reading{*behind};
}

int64_t MessageLog::fail_reading_beside(int64_t now_ms) {
    std::optional<uint64_t> failed = std::exchange(beside_, std::nullopt);
    auto found = failed ? behind_.find(*failed) : behind_.end();
    return found != behind_.end() ? found->second.after_failure(now_ms, kLongestReadRetryMs) : 0;
}

std::optional<int64_t> MessageLog::next_reading_deadline_ms() const {
    std::optional<int64_t> next;
    if (is_numbering() && !beside_)
        for (const auto &[instance, retry] : behind_)
            next = std::min(next.value_or(INT64_MAX), retry.not_before_ms);
    return next;
}

bool MessageLog::may_number() const {
    return !recovers_ && !rows_.empty();
}

bool MessageLog::next_is_loading() {
    while (!loading_.empty() && !behind_.contains(loading_.front().instance))
        loading_.pop_front();
    return !loading_.empty() &&
           (rows_.empty() || rows_.front().position >= loading_.front().before);
}

std::optional<uint64_t> MessageLog::next_behind(int64_t now_ms) const {
    auto is_due = [&](const auto &entry) { return entry.second.not_before_ms <= now_ms; };
    auto next = std::find_if(behind_.upper_bound(last_read_), behind_.end(), is_due);
    if (next == behind_.end())
        next = std::find_if(behind_.begin(), behind_.end(), is_due);
    return next != behind_.end() ? std::optional(next->first) : std::nullopt;
}

std::optional<std::string> MessageLog::next_held(int64_t now_ms) const {
    auto is_due = [&](const auto &entry) { return entry.second.retry.not_before_ms <= now_ms; };
    auto next = std::find_if(held_.upper_bound(last_held_), held_.end(), is_due);
    if (next == held_.end())
        next = std::find_if(held_.begin(), held_.end(), is_due);
    return next != held_.end() ? std::optional(next->first) : std::nullopt;
}

NumberJob MessageLog::take_rows() {
    NumberJob task;
    uint64_t bytes = 0;
    uint64_t end = loading_.empty() ? next_position_ : loading_.front().before;
    while (!rows_.empty() && rows_.front().position < end && batch_.size() < kMaxBatchRows &&
           bytes < kMaxBatchBytes) {
        const StoredRow &row = rows_.front().stored;
        bytes += row.bytes;
        task.rows.push_back(row.id);
        task.expands = task.expands || row.for_many;
        batch_.push_back(std::move(rows_.front()));
        rows_.pop_front();
    }
    return task;
}

NumberJob MessageLog::take_held(const std::string &topic) {
    Held &held = held_.at(topic);
    held_batch_ = last_held_ = topic;
    NumberJob task;
    if (held.recovers) {
        task.topic = topic;
        held.recovers = false;
        held.rows.clear(); // it takes them along
        return task;
    }
    uint64_t bytes = 0;
    while (!held.rows.empty() && batch_.size() < kMaxBatchRows && bytes < kMaxBatchBytes) {
        StoredRow row = held.rows.front();
        held.rows.pop_front();
        bytes += row.bytes;
        task.rows.push_back(row.id);
        task.expands = task.expands || row.for_many;
        batch_.push_back({0, topic, row});
    }
    return task;
}

MessageLog::Task MessageLog::read(uint64_t instance) {
    last_read_ = instance;
    return Reading{instance};
}

// ---- what came of it ----

void MessageLog::finish(const LogOutcome &outcome, int64_t now_ms) {
    int64_t next_expiry_ms = now_ms + std::max<int64_t>(retention_ms_ / kExpiriesPerRetention, 1);
    if (const auto *numbered = std::get_if<NumberOutcome>(&outcome)) {
        auto held = held_batch_ ? held_.find(*held_batch_) : held_.end();
        if (held != held_.end()) {
            held->second.recovers = held->second.recovers || numbered->is_partial;
            held->second.retry = {};
            if (held->second.rows.empty() && !held->second.recovers)
                held_.erase(held);
        } else if (numbered->is_partial) {
            recover();
        }
        if (!numbered->messages.empty() && !expiry_due_ms_)
            expiry_due_ms_ = next_expiry_ms;
        recovery_retry_ = {};
    } else if (const auto *expired = std::get_if<ExpireOutcome>(&outcome)) {
        expiry_due_ms_.reset();
        expiry_retry_ = {};
        if (expired->has_messages)
            expiry_due_ms_ = next_expiry_ms;
    } else if (const auto *read = std::get_if<ReadOutcome>(&outcome)) {
        if (auto found = behind_.find(read->instance); found != behind_.end())
            found->second = {};
        if (beside_ == read->instance) {
            beside_.reset();
            return; // what it is beside goes on
        }
    }
    batch_.clear();
    held_batch_.reset();
    running_.reset();
}

// Rows that have no number are found again, and an instance that reads is still behind.
void MessageLog::take_back() noexcept {
    recover();
    batch_.clear();
    held_batch_.reset();
    running_.reset();
    beside_.reset();
}

int64_t MessageLog::fail(int64_t now_ms, const std::vector<std::string> &topics) {
    int64_t wait_ms = 0;
    std::optional<Task> failed = std::exchange(running_, std::nullopt);
    if (const auto *numbering = failed ? std::get_if<NumberJob>(&*failed) : nullptr)
        wait_ms = fail_numbering(*numbering, now_ms, topics);
    else if (const auto *reading = failed ? std::get_if<Reading>(&*failed) : nullptr) {
        if (auto found = behind_.find(reading->instance); found != behind_.end())
            wait_ms = found->second.after_failure(now_ms, kLongestReadRetryMs);
    } else {
        wait_ms = expiry_retry_.after_failure(now_ms, kLongestRetryMs);
    }
    batch_.clear();
    held_batch_.reset();
    return wait_ms;
}

int64_t MessageLog::fail_numbering(const NumberJob &job, int64_t now_ms,
                                   const std::vector<std::string> &topics) {
    if (recovers_)
        return 0; // it takes all of them along
    bool is_of_all = job.rows.empty() && job.topic.empty();
    if (is_of_all && topics.empty()) {
        recovers_ = true;
        return recovery_retry_.after_failure(now_ms, kLongestRetryMs);
    }
    std::string alone = held_batch_.value_or("");
    if (!held_batch_ && !is_of_all) {
        bool is_of_one = std::ranges::all_of(
            batch_, [&](const Row &row) { return row.topic == batch_.front().topic; });
        alone = is_of_one ? batch_.front().topic : "";
    }
    for (const Row &row : batch_)
        hold(row.topic);
    for (auto row = batch_.rbegin(); row != batch_.rend(); ++row)
        held_.at(row->topic).rows.push_front(row->stored);
    if (is_of_all)
        for (const std::string &topic : topics) {
            hold(topic);
            held_.at(topic).recovers = true;
        }
    if (alone.empty())
        return 0; // each is tried for itself
    hold(alone);
    Held &held = held_.at(alone);
    held.recovers = held.recovers || job.rows.empty();
    return held.retry.after_failure(now_ms, kLongestRetryMs);
}

// Its rows leave the common queue, in their order.
void MessageLog::hold(const std::string &topic) {
    auto [held, is_new] = held_.try_emplace(topic);
    if (!is_new)
        return;
    for (const Row &row : rows_)
        if (row.topic == topic)
            held->second.rows.push_back(row.stored);
    std::erase_if(rows_, [&](const Row &row) { return row.topic == topic; });
}

bool MessageLog::has_work() const {
    return running_ || beside_ || recovers_ || !rows_.empty() || !held_.empty() ||
           !behind_.empty() || expiry_due_ms_;
}

std::optional<int64_t> MessageLog::next_deadline_ms() const {
    if (running_ || beside_)
        return std::nullopt; // its end wakes the hub
    std::optional<int64_t> next;
    auto consider = [&](int64_t at) { next = std::min(next.value_or(INT64_MAX), at); };
    if (recovers_)
        consider(recovery_retry_.not_before_ms);
    else if (!rows_.empty())
        consider(0);
    for (const auto &[topic, held] : held_)
        consider(held.retry.not_before_ms);
    for (const auto &[instance, retry] : behind_)
        consider(retry.not_before_ms);
    if (expiry_due_ms_)
        consider(std::max(*expiry_due_ms_, expiry_retry_.not_before_ms));
    return next;
}

} // namespace rtd
