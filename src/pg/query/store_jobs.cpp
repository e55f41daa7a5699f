#include "pg/query/store_jobs.h"

#include "pg/server/boundary.h"
#include "pg/server/worker_transaction.h"
#include "pg/store/message_store.h"
#include "pg/store/retained.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

StoreDone run_store_job(const StoreRetained &job) {
    StoreDone done;
    try {
        in_own_transaction([&] {
            call([] { // nothing is promised by it
                set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
                                  GUC_ACTION_LOCAL, true, 0, false);
            });
            StoredRetained stored = store_retained(job.schema, job.messages, job.most);
            done.bounded = std::move(stored.bounded);
            done.locked.assign(stored.locked.begin(), stored.locked.end());
        });
    } catch (const Error &error) {
        return StoreDone{false, error.message()};
    } catch (const std::exception &error) {
        return StoreDone{false, error.what()};
    }
    done.stored = true;
    return done;
}

// One that fails leaves the others alone; but what is locked for one is locked for all.
ReadRetainedDone run_store_job(const ReadRetained &job) {
    ReadRetainedDone done;
    std::string lock;
    for (const RetainedRead &read : job.reads) {
        RetainedAnswer &answer =
            done.answers.emplace_back(RetainedAnswer{read.instance, !lock.empty(), lock});
        if (answer.is_failed)
            continue;
        try {
            in_transaction([&] {
                answer.text = load_retained(job.schema, read.topic, read.params).value_or("");
            });
        } catch (const Error &error) {
            answer.is_failed = true;
            answer.text = error.message();
            if (is_of_lock(error.sqlstate()))
                lock = error.message();
        } catch (const std::exception &error) {
            answer.is_failed = true;
            answer.text = error.what();
        }
    }
    return done;
}

StoreNotificationsDone run_store_job(const StoreNotifications &job) {
    StoreNotificationsDone done;
    try {
        std::vector<Event> events;
        for (const std::string &bytes : job.events)
            if (Result<Event> event = decode_event(bytes))
                events.push_back(std::move(*event));
        for (const Event &event : store_events(job.schema, events))
            done.events.push_back(rtd::encode(event));
    } catch (const Error &error) {
        done = {error.message(), {}};
    } catch (const std::exception &error) {
        done = {error.what(), {}};
    }
    return done;
}

LogJobDone run_store_job(const RunLogJob &job) {
    try {
        return LogJobDone{run_log_job(job.schema, job.job)};
    } catch (const std::exception &error) { // also rows that somebody wrote by hand, or no memory
        LogFailure failure{error.what()};
        if (const ReadJob *read = std::get_if<ReadJob>(&job.job))
            failure.reading = read->instance;
        return LogJobDone{std::move(failure)};
    }
}

} // namespace rtd::pg
