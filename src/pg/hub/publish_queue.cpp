#include "pg/hub/publish_queue.h"

#include <utility>

#include "core/close_code.h"

namespace rtd::pg {

namespace {

size_t bytes_of(const RunPublish &job) {
    const link::Publish &message = job.message;
    size_t bytes = sizeof job + job.schema.size() + message.topic.size() + message.data.size() +
                   message.type.size();
    for (const std::string &param : message.params)
        bytes += sizeof param + param.size();
    return bytes;
}

} // namespace

bool PublishQueue::add(RunPublish job, size_t most_bytes) {
    size_t bytes = bytes_of(job);
    if (bytes_ + bytes > most_bytes && !waiting_.empty()) // a message of any size has its turn
        return false;
    bytes_ += bytes;
    waiting_.push_back(std::move(job));
    return true;
}

RunPublish PublishQueue::take() {
    RunPublish job = std::move(waiting_.front());
    waiting_.pop_front();
    bytes_ -= bytes_of(job);
    is_running_ = true;
    return job;
}

void PublishQueue::forget_gateway(GatewayNumber gateway) {
    std::erase_if(waiting_, [&](const RunPublish &job) {
        bool is_of_it = gateway_of(job.message.client) == gateway;
        if (is_of_it)
            bytes_ -= bytes_of(job);
        return is_of_it;
    });
}

PublishDone PublishQueue::lost(const RunPublish &job) {
    return {{job.message.client, job.message.request, 0, true, CloseCode::unavailable,
             "the server lost the message while it published it; it may have been sent or not"}};
}

} // namespace rtd::pg
