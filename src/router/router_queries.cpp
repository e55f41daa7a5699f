// Queries, and what is read and numbered of durable topics; the rules are in router.h.
#include "router/router.h"

namespace rtd {

// ---- queries ----

std::optional<QueryJob> Router::take_job(Now now, size_t most_per_topic, bool is_last,
                                         bool is_only) {
    take_back_job(now);
    std::optional<uint64_t> next = ready_.take(most_per_topic, is_last, is_only, [&](uint64_t id) {
        auto found = instances_.find(id);
        if (found == instances_.end())
            return false;
        bool is_wanted = !found->second->subscriptions().empty();
        if (!is_wanted)
            found->second->postpone_query();
        return is_wanted;
    });
    if (!next)
        return std::nullopt;
    Instance &instance = *instances_.at(*next);
    starting_ = Starting{*next, topic_key(instance.topic().name)};
    catch_up(instance, now); // its query sees what these events are about
    running_[instance.id()] = {instance.topic().name, instance.topic().version};
    QueryJob job = instance.start_query(now);
    reschedule(instance);
    starting_.reset();
    return job;
}

// One of which take_job() said nothing, because it failed half-way.
void Router::take_back_job(Now now) {
    if (!starting_)
        return;
    auto found = instances_.find(starting_->instance);
    if (found != instances_.end()) {
        Instance &instance = *found->second;
        instance.postpone_query(); // it may not have left the queue
        running_.try_emplace(starting_->instance,
                             Running{instance.topic().name, instance.topic().version});
    }
    if (running_.contains(starting_->instance))
        abandon_job(starting_->instance, "there was no memory to start it", now);
    else
        ready_.finished(starting_->topic);
    starting_.reset();
}

std::optional<QueryJob> Router::finish_job(uint64_t id, const QueryOutcome &outcome, Now now) {
    auto found = instances_.find(id);
    uint64_t version = 0;
    if (found != instances_.end())
        catch_up(*found->second, now);
    if (auto job = running_.find(id); job != running_.end()) {
        if (outcome.is_open && found != instances_.end() &&
            found->second->topic().version == job->second.version)
            if (std::optional<QueryJob> more = found->second->continue_query(outcome))
                return more;
        if (outcome.status == QueryOutcome::Status::locked)
            lock(job->second.topic, now);
        else
            unlock(job->second.topic);
        ready_.finished(topic_key(job->second.topic));
        version = job->second.version;
        running_.erase(job);
    }
    if (found == instances_.end())
        return std::nullopt; // everybody left while it ran
    Instance &instance = *found->second;
    if (instance.topic().version != version) { // altered while it ran
        instance.discard_query(now);
        reschedule(instance);
        return std::nullopt;
    }
    bool is_bad_parameter = outcome.status == QueryOutcome::Status::bad_parameter;
    if (is_bad_parameter || outcome.status == QueryOutcome::Status::forbidden) {
        instance.finish_query(outcome, now);
        if (!instance.subscriptions().empty())
            remember_failure(instance, now);
        end_all(instance, is_bad_parameter ? CloseCode::bad_request : CloseCode::forbidden,
                outcome.text);
        settle(instance, now);
        return std::nullopt;
    }
    bool is_first = instance.waiting_subscriptions().size() == instance.subscriptions().size();
    instance.finish_query(outcome, now);
    reschedule(instance);
    if (is_first && is_full())
        refuse_new(instance, now);
    settle(instance, now);
    return std::nullopt;
}

// It says so in the log once it has lasted for as long as subscribers are patient.
void Router::lock(const std::string &topic, Now now) {
    constexpr int64_t kRunsUntilLogged = 4;
    ready_.hold(topic_key(topic));
    if (locked_topics_.add(topic, now.steady_ms) == kRunsUntilLogged)
        host_.log_warning("[EVENT_BROADCAST] The query of topic \"" + topic +
                          "\" waits for a lock that another session holds; it is tried again "
                          "until it gets it");
}

void Router::unlock(const std::string &topic) {
    if (!locked_topics_.contains(topic))
        return;
    locked_topics_.remove(topic);
    ready_.unlock(topic_key(topic));
}

void Router::abandon_job(uint64_t id, const char *why, Now now) {
    QueryOutcome outcome;
    outcome.text = why;
    finish_job(id, outcome, now);
}

// ---- messages of durable topics ----

std::optional<LogJob> Router::take_log_job(Now now) {
    try {
        std::optional<MessageLog::Task> task = log_.take(now.steady_ms);
        if (!task)
            return std::nullopt;
        if (auto *number = std::get_if<NumberJob>(&*task))
            return std::move(*number);
        if (const auto *expire = std::get_if<ExpireJob>(&*task))
            return *expire;
        return instances_.at(std::get<MessageLog::Reading>(*task).instance)->next_read();
    } catch (...) { // no memory
        log_.take_back();
        throw;
    }
}

std::optional<LogJob> Router::take_reading_beside(Now now) {
    std::optional<MessageLog::Reading> reading = log_.take_reading_beside(now.steady_ms);
    if (!reading)
        return std::nullopt;
    reading_is_overtaken_ = false;
    try {
        return instances_.at(reading->instance)->next_read();
    } catch (...) { // no memory
        log_.fail_reading_beside(now.steady_ms);
        throw;
    }
}

void Router::abandon_reading_beside(const std::string &why, Now now) {
    tell_log_failure(why, log_.fail_reading_beside(now.steady_ms), now);
}

void Router::finish_log_job(const LogOutcome &outcome, Now now) {
    if (const auto *failure = std::get_if<LogFailure>(&outcome)) {
        if (failure->reading && log_.is_read_beside(*failure->reading))
            return abandon_reading_beside(failure->error, now);
        return retry_log_job(failure->error, now);
    }
    const auto *reading = std::get_if<ReadOutcome>(&outcome);
    bool was_beside = reading != nullptr && log_.is_read_beside(reading->instance);
    log_.finish(outcome, now.steady_ms);
    log_fails_ = false;
    if (std::holds_alternative<NumberOutcome>(outcome))
        reading_is_overtaken_ = log_.is_reading_beside();
    if (const auto *numbered = std::get_if<NumberOutcome>(&outcome))
        for (const NumberedMessage &message : numbered->messages)
            if (Instance *instance = index_.find(message.topic, message.params, {})) {
                instance->receive(message, now);
                reschedule(*instance);
            }
    if (reading != nullptr)
        if (auto found = instances_.find(reading->instance); found != instances_.end()) {
            found->second->finish_read(*reading, now);
            if (was_beside && reading_is_overtaken_)
                found->second->doubt();
            reschedule(*found->second);
        }
}

void Router::abandon_log_job(const char *why, Now now) {
    for (const auto &[name, topic] : topics_)
        if (topic->is_durable)
            for (const auto &[id, instance] : index_.of_topic(name)) {
                instance->doubt();
                reschedule(*instance);
            }
    retry_log_job(why, now);
}

void Router::retry_log_job(const std::string &error, Now now) {
    std::vector<std::string> durable;
    for (const auto &[name, topic] : topics_)
        if (topic->is_durable)
            durable.push_back(name);
    tell_log_failure(error, log_.fail(now.steady_ms, durable), now);
}

void Router::tell_log_failure(const std::string &error, int64_t retry_ms, Now now) {
    log_fails_ = true;
    for (uint64_t id : log_.behind()) {
        Instance &instance = *instances_.at(id);
        instance.fail_read(now);
        reschedule(instance);
    }
    host_.log_warning("rtd hub could not number or read durable messages: " + error +
                      " (next attempt in " + std::to_string(retry_ms) + " ms)");
}

} // namespace rtd
