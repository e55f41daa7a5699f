#include "pg/query/query_job.h"

#include "core/fields.h"
#include "core/link_fields.h"

namespace rtd {

template <class IO> void fields(IO &io, RetainedMessage &message) {
    io(message.topic);
    io(message.params);
    io(message.message);
}

template <class IO> void fields(IO &io, RetainedRead &read) {
    io(read.instance);
    io(read.topic);
    io(read.params);
}

template <class IO> void fields(IO &io, RetainedAnswer &answer) {
    io(answer.instance);
    io(answer.is_failed);
    io(answer.text);
}

template <class IO> void fields(IO &io, KeySelection &selection) {
    io(selection.all);
    io(selection.keys);
}

template <class IO> void fields(IO &io, KeyedRow &row) {
    io(row.key);
    io(row.row);
}

template <class IO> void fields(IO &io, FormerEpoch &former) {
    io(former.epoch);
    io(former.newest);
}

template <class IO> void fields(IO &io, NumberedMessage &message) {
    io(message.topic);
    io(message.params);
    io(message.epoch);
    io(message.former_epoch);
    io(message.sequence);
    io(message.body);
}

template <class IO> void fields(IO &io, NumberJob &job) {
    io(job.rows);
    io(job.expands);
    io(job.topic);
}

template <class IO> void fields(IO &io, ReadJob &job) {
    io(job.instance);
    io(job.topic);
    io(job.params);
    io(job.after);
    io(job.most);
}

template <class IO> void fields(IO &io, ExpireJob &job) {
    io(job.retention_ms);
}

template <class IO> void fields(IO &io, NumberOutcome &outcome) {
    io.list(outcome.messages);
    io(outcome.is_partial);
}

template <class IO> void fields(IO &io, ReadOutcome &outcome) {
    io(outcome.instance);
    io(outcome.after);
    io(outcome.epoch);
    io.list(outcome.former);
    io(outcome.newest);
    io(outcome.oldest);
    io.list(outcome.messages);
}

template <class IO> void fields(IO &io, ExpireOutcome &outcome) {
    io(outcome.has_messages);
}

template <class IO> void fields(IO &io, LogFailure &failure) {
    io(failure.error);
    io(failure.reading);
}

} // namespace rtd

namespace rtd::pg {

template <class IO> void fields(IO &io, RunQuery &run) {
    io(run.instance);
    io(run.topic);
    io(run.topic_generation);
    io(run.topic_version);
    io(run.role);
    io(run.is_invoker);
    io(run.gives_way_soon);
    io(run.claims);
    io(run.search_path);
    io(run.query);
    io.choice(run.shape, ResultShape::value);
    io(run.parameter_count);
    io(run.params);
    io(run.significant);
    io(run.last_message);
    io(run.key);
    fields(io, run.selection);
}

template <class IO> void fields(IO &io, ReadMore &more) {
    fields(io, more.selection);
}

template <class IO> void fields(IO &, EndRead &) {}

template <class IO> void fields(IO &io, StoreRetained &store) {
    io(store.schema);
    io(store.most);
    io.list(store.messages);
}

template <class IO> void fields(IO &io, ReadRetained &read) {
    io(read.schema);
    io.list(read.reads);
}

template <class IO> void fields(IO &io, StoreNotifications &store) {
    io(store.schema);
    io(store.events);
}

template <class IO> void fields(IO &io, ReadRetainedDone &done) {
    io.list(done.answers);
}

template <class IO> void fields(IO &io, StoreNotificationsDone &done) {
    io(done.error);
    io(done.events);
}

template <class IO> void fields(IO &io, RunLogJob &run) {
    io(run.schema);
    io.variant(run.job);
}

template <class IO> void fields(IO &io, LogJobDone &done) {
    io.variant(done.outcome);
}

template <class IO> void fields(IO &io, QueryDone &done) {
    io(done.instance);
    io.choice(done.outcome.status, QueryOutcome::Status::locked);
    io(done.outcome.text);
    io(done.outcome.hash);
    io(done.outcome.is_significant);
    io(done.outcome.warning);
    io(done.outcome.sqlstate);
    io(done.outcome.altered);
    io(done.outcome.elapsed_us);
    io.list(done.outcome.rows);
    io(done.outcome.has_all);
    io(done.outcome.is_open);
}

template <class IO> void fields(IO &io, StoreDone &done) {
    io(done.stored);
    io(done.error);
    io(done.bounded);
    io(done.locked);
}

template <class IO> void fields(IO &io, RunPublish &publish) {
    io(publish.schema);
    io(publish.role);
    fields(io, publish.message);
}

template <class IO> void fields(IO &io, PublishDone &done) {
    fields(io, done.answer);
}

std::string encode(const WorkerRequest &request) {
    return encode_variant(request);
}
std::string encode(const WorkerReply &reply) {
    return encode_variant(reply);
}

Result<WorkerRequest> decode_request(std::string_view bytes) {
    WorkerRequest request;
    if (!decode_variant(bytes, request))
        return Problem{"malformed request to a query worker"};
    return request;
}

Result<WorkerReply> decode_reply(std::string_view bytes) {
    WorkerReply reply;
    if (!decode_variant(bytes, reply))
        return Problem{"malformed reply of a query worker"};
    return reply;
}

} // namespace rtd::pg
