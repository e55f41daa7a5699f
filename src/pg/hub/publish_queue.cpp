#include "pg/hub/publish_queue.h"

#include <utility>

#include "core/close_code.h"

namespace rtd::pg {

RunPublish PublishQueue::take() {
    RunPublish job = std::move(waiting_.front());
    waiting_.pop_front();
    is_running_ = true;
    return job;
}

void PublishQueue::forget_gateway(GatewayNumber gateway) {
    std::erase_if(waiting_,
                  [&](const RunPublish &job) { return gateway_of(job.message.client) == gateway; });
}

PublishDone PublishQueue::lost(const RunPublish &job) {
    return {{job.message.client, job.message.request, 0, true, CloseCode::unavailable,
             "the server lost the message while it published it; it may have been sent or not"}};
}

} // namespace rtd::pg
