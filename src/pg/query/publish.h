// A message that a client publishes: rtd_broadcast() in a transaction of a query worker, as the
// client's role, so that grants, limits and errors are those of SQL. The event then comes to the
// hub as every other.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/link.h"
#include "router/gateway_id.h"

#include <cstdint>
#include <deque>
#include <string>

namespace rtd::pg {

struct RunPublish {
    std::string schema; // of the extension
    uint32_t role = 0;  // of the client
    link::Publish message;
};

struct PublishDone {
    link::Published answer;
};

// In a query worker.
PublishDone publish(const RunPublish &job);

// In the hub: what waits to be published. One at a time, so that a client's messages keep their
// order and queries keep their workers.
class PublishQueue {
  public:
    void add(RunPublish job) { waiting_.push_back(std::move(job)); }
    bool has_next() const { return !is_running_ && !waiting_.empty(); }
    RunPublish take();
    void finish() { is_running_ = false; }
    // A query worker died with it.
    static PublishDone lost(const RunPublish &job);
    // Its clients are gone, and what they wanted to say with them.
    void forget_gateway(GatewayNumber gateway);

  private:
    std::deque<RunPublish> waiting_;
    bool is_running_ = false;
};

} // namespace rtd::pg
