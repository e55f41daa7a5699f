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

void PublishQueue::resize(uint64_t id, size_t before, size_t after) {
    if (before > 0)
        by_bytes_.erase({before, id});
    if (after > 0)
        by_bytes_.insert({after, id});
    bytes_ += after - before;
}

// Its oldest or newest message. The client goes with the last one, but for its turn.
RunPublish PublishQueue::remove(uint64_t id, bool newest) {
    auto found = clients_.find(id);
    Client &client = found->second;
    RunPublish job = std::move(newest ? client.waiting.back() : client.waiting.front());
    if (newest)
        client.waiting.pop_back();
    else
        client.waiting.pop_front();
    size_t before = client.bytes;
    client.bytes -= bytes_of(job);
    resize(id, before, client.bytes);
    if (client.waiting.empty())
        clients_.erase(found);
    return job;
}

std::vector<RunPublish> PublishQueue::add(RunPublish job, size_t most_bytes) {
    uint64_t id = job.message.client;
    auto [found, is_new] = clients_.try_emplace(id);
    if (is_new)
        turns_.push_back(id);
    Client &client = found->second;
    size_t before = client.bytes;
    client.bytes += bytes_of(job);
    client.waiting.push_back(std::move(job));
    resize(id, before, client.bytes);

    std::vector<RunPublish> refused;
    // A message of any size has its turn.
    while (bytes_ > most_bytes && (clients_.size() > 1 || waiting_of_largest() > 1)) {
        uint64_t largest = by_bytes_.rbegin()->second;
        refused.push_back(remove(largest, true));
        if (!clients_.contains(largest))
            std::erase(turns_, largest);
    }
    return refused;
}

size_t PublishQueue::waiting_of_largest() const {
    return clients_.at(by_bytes_.rbegin()->second).waiting.size();
}

RunPublish PublishQueue::take() {
    uint64_t id = turns_.front();
    turns_.pop_front();
    RunPublish job = remove(id, false);
    if (clients_.contains(id))
        turns_.push_back(id);
    is_running_ = true;
    return job;
}

void PublishQueue::forget_gateway(GatewayNumber gateway) {
    std::erase_if(turns_, [&](uint64_t id) {
        if (gateway_of(id) != gateway)
            return false;
        auto found = clients_.find(id);
        resize(id, found->second.bytes, 0);
        clients_.erase(found);
        return true;
    });
}

PublishDone PublishQueue::lost(const RunPublish &job) {
    return {{job.message.client, job.message.request, 0, true, CloseCode::unavailable,
             "the server lost the message while it published it; it may have been sent or not"}};
}

} // namespace rtd::pg
