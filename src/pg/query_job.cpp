#include "pg/query_job.h"

#include "core/bytes.h"

namespace rtd::pg {

namespace {

enum class Tag : uint8_t { query, store };

} // namespace

std::string encode(const WorkerRequest &request) {
    ByteWriter out;
    if (const RunQuery *run = std::get_if<RunQuery>(&request)) {
        out.put(Tag::query);
        out.put(run->instance);
        out.put(run->topic);
        out.put(run->topic_generation);
        out.put(run->topic_version);
        out.put(run->owner);
        out.put(run->search_path);
        out.put(run->query);
        out.put(run->parameter_count);
        out.put(run->params);
    } else {
        const StoreRetained &store = std::get<StoreRetained>(request);
        out.put(Tag::store);
        out.put(store.schema);
        out.put(static_cast<uint32_t>(store.messages.size()));
        for (const RetainedMessage &message : store.messages) {
            out.put(message.topic);
            out.put(message.params);
            out.put(message.message);
        }
    }
    return out.take();
}

Result<WorkerRequest> decode_request(std::string_view bytes) {
    ByteReader in(bytes);
    Tag tag{};
    in.get_enum(tag, Tag::store);
    WorkerRequest request;
    if (tag == Tag::query) {
        RunQuery &run = request.emplace<RunQuery>();
        in.get(run.instance);
        in.get(run.topic);
        in.get(run.topic_generation);
        in.get(run.topic_version);
        in.get(run.owner);
        in.get(run.search_path);
        in.get(run.query);
        in.get(run.parameter_count);
        in.get(run.params);
    } else {
        StoreRetained &store = request.emplace<StoreRetained>();
        uint32_t count = 0;
        in.get(store.schema);
        in.get(count);
        for (uint32_t i = 0; i < count && in.ok(); i++) {
            RetainedMessage &message = store.messages.emplace_back();
            in.get(message.topic);
            in.get(message.params);
            in.get(message.message);
        }
    }
    if (!in.ok() || !in.at_end())
        return Problem{"malformed request to a query worker"};
    return request;
}

std::string encode(const WorkerReply &reply) {
    ByteWriter out;
    if (const QueryDone *done = std::get_if<QueryDone>(&reply)) {
        out.put(Tag::query);
        out.put(done->instance);
        out.put(done->outcome.status);
        out.put(done->outcome.text);
        out.put(done->outcome.hash);
        out.put(done->outcome.elapsed_us);
    } else {
        const StoreDone &done_storing = std::get<StoreDone>(reply);
        out.put(Tag::store);
        out.put(done_storing.stored);
        out.put(done_storing.error);
    }
    return out.take();
}

Result<WorkerReply> decode_reply(std::string_view bytes) {
    ByteReader in(bytes);
    Tag tag{};
    in.get_enum(tag, Tag::store);
    WorkerReply reply;
    if (tag == Tag::query) {
        QueryDone &done = reply.emplace<QueryDone>();
        in.get(done.instance);
        in.get_enum(done.outcome.status, QueryOutcome::Status::bad_parameter);
        in.get(done.outcome.text);
        in.get(done.outcome.hash);
        in.get(done.outcome.elapsed_us);
    } else {
        StoreDone &done = reply.emplace<StoreDone>();
        in.get(done.stored);
        in.get(done.error);
    }
    if (!in.ok() || !in.at_end())
        return Problem{"malformed reply of a query worker"};
    return reply;
}

} // namespace rtd::pg
