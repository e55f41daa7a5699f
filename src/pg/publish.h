// A message that a client publishes: rtd_broadcast() in a transaction of a query worker, as the
// client's role, so that grants, limits and errors are those of SQL. The event then comes to the
// hub as every other.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/link.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace rtd::pg {

struct RunPublish {
    uint64_t gateway = 0; // the incarnation that asked: clients of another have the same numbers
    std::string schema;   // of the extension
    uint32_t role = 0;    // of the client
    link::Publish message;
};

struct PublishDone {
    uint64_t gateway = 0;
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
    // The answer, if the gateway that asked is still the one that runs.
    std::optional<link::Published> finish(const PublishDone &done, uint64_t gateway);
    // A query worker died with it.
    static PublishDone lost(const RunPublish &job);
    void clear() { waiting_.clear(); }

  private:
    std::deque<RunPublish> waiting_;
    bool is_running_ = false;
};

} // namespace rtd::pg
