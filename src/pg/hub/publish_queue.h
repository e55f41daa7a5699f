// PublishQueue: what clients publish and no query worker has taken yet. One at a time, so that a
// client's messages keep their order and queries keep their workers. Bounded by
// rtd.publish_queue_size, whoever fills it: clients then learn at once that theirs was not taken.
#pragma once
#include "pg/query/query_job.h"
#include "router/gateway_id.h"

#include <deque>

namespace rtd::pg {

class PublishQueue {
  public:
    // False, and nothing is done, if as many bytes wait as may.
    bool add(RunPublish job, size_t most_bytes);
    bool is_idle() const { return !is_running_ && waiting_.empty(); }
    bool has_next() const { return !is_running_ && !waiting_.empty(); }
    RunPublish take();
    void finish() { is_running_ = false; }
    // A query worker died with it.
    static PublishDone lost(const RunPublish &job);
    // Its clients are gone, and what they wanted to say with them.
    void forget_gateway(GatewayNumber gateway);

  private:
    std::deque<RunPublish> waiting_;
    size_t bytes_ = 0; // of waiting_
    bool is_running_ = false;
};

} // namespace rtd::pg
