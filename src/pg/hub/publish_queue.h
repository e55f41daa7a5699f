// PublishQueue: what clients publish and no query worker has taken yet. One at a time, so that a
// client's messages keep their order and queries keep their workers; clients take turns, so whoever
// publishes much waits for itself. Bounded by rtd.publish_queue_size; when it is full, the newest
// messages of the client that has the most in it give way, and it learns at once that they do.
#pragma once
#include "pg/query/query_job.h"
#include "router/gateway_id.h"

#include <deque>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rtd::pg {

class PublishQueue {
  public:
    // Returns those that have no place in so many bytes, whose clients are to be told.
    std::vector<RunPublish> add(RunPublish job, size_t most_bytes);
    bool is_idle() const { return !is_running_ && turns_.empty(); }
    bool has_next() const { return !is_running_ && !turns_.empty(); }
    RunPublish take();
    void finish() { is_running_ = false; }
    // A query worker died with it.
    static PublishDone lost(const RunPublish &job);
    // Its clients are gone, and what they wanted to say with them.
    void forget_gateway(GatewayNumber gateway);

  private:
    struct Client {
        std::deque<RunPublish> waiting; // not empty
        size_t bytes = 0;
    };

    void resize(uint64_t id, size_t before, size_t after);
    RunPublish remove(uint64_t id, bool newest);
    size_t waiting_of_largest() const;

    std::unordered_map<uint64_t, Client> clients_;
    std::deque<uint64_t> turns_; // each client once
    std::set<std::pair<size_t, uint64_t>> by_bytes_;
    size_t bytes_ = 0;
    bool is_running_ = false;
};

} // namespace rtd::pg
