#include "router/subscribers.h"

#include <algorithm>

namespace rtd {

void Subscribers::insert(uint64_t subscription) {
    if (!subscriptions_.insert(subscription).second)
        return;
    GatewayNumber gateway = gateway_of(subscription);
    auto share = std::ranges::find(gateways_, gateway, &Share::gateway);
    if (share == gateways_.end())
        gateways_.push_back({gateway, 1});
    else
        share->count++;
}

void Subscribers::erase(uint64_t subscription) {
    if (subscriptions_.erase(subscription) == 0)
        return;
    auto share = std::ranges::find(gateways_, gateway_of(subscription), &Share::gateway);
    if (--share->count == 0)
        gateways_.erase(share);
}

void Subscribers::clear() {
    subscriptions_.clear();
    gateways_.clear();
}

} // namespace rtd
