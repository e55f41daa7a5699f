// Subscribers: a set of subscriptions that knows which gateways they are of, so that a message goes
// only to gateways where somebody takes it.
#pragma once
#include "core/fence.h"
#include "router/gateway_id.h"

#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

namespace rtd {

class Subscribers {
  public:
    struct Share {
        GatewayNumber gateway;
        size_t count; // of its subscriptions, never 0
    };

    // One that is there already, or not there, is left alone.
    void insert(uint64_t subscription);
    void erase(uint64_t subscription);
    void clear();

    bool empty() const { return subscriptions_.empty(); }
    size_t size() const { return subscriptions_.size(); }
    auto begin() const { return subscriptions_.begin(); }
    auto end() const { return subscriptions_.end(); }

    // In the order in which they got their first subscription.
    const std::vector<Share> &gateways() const { return gateways_; }

  private:
    std::unordered_set<uint64_t> subscriptions_;
    std::vector<Share> gateways_; // a few: looking through them is the fastest
};

} // namespace rtd
