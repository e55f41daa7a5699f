// Ids that gateways choose: of their clients, subscriptions and probes. Each is unique only in the
// gateway that chose it; the hub, which has several gateways, makes them unique where it reads a
// frame, and gives them back as they were where it writes one. In between nobody needs to know:
// an id of the hub is the gateway's number and the gateway's own id in one integer.
#pragma once
#include "core/fence.h"
#include "core/link.h"

#include <cstdint>
#include <optional>

namespace rtd {

// A gateway process, counted over the hub's life. One that is started again has another number, so
// that an answer for the one that died is for nobody.
using GatewayNumber = uint32_t;

inline constexpr int kOwnIdBits = 40; // a thousand subscriptions a second for 34 years
inline constexpr uint64_t kMaxOwnId = (uint64_t{1} << kOwnIdBits) - 1;
inline constexpr GatewayNumber kMaxGatewayNumber = (1u << (64 - kOwnIdBits)) - 1;

constexpr uint64_t hub_id(GatewayNumber gateway, uint64_t own_id) {
    return uint64_t{gateway} << kOwnIdBits | own_id;
}
constexpr GatewayNumber gateway_of(uint64_t hub_id) {
    return static_cast<GatewayNumber>(hub_id >> kOwnIdBits);
}
constexpr uint64_t own_id(uint64_t hub_id) {
    return hub_id & kMaxOwnId;
}

// Turns the ids in a frame of this gateway into the hub's. False: one is none that a gateway may
// choose, and the frame must not be used.
bool to_hub_ids(link::GatewayFrame &frame, GatewayNumber gateway);

// Turns them back, and says which gateway the frame is for; nullopt if it has no such id.
std::optional<GatewayNumber> to_own_ids(link::HubFrame &frame);

} // namespace rtd
