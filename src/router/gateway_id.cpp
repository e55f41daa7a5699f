#include "router/gateway_id.h"

#include <type_traits>
#include <variant>

namespace rtd {

namespace {

// The probe of a Ping, and of the Pong that answers it, is the hub's own.
template <class F>
constexpr bool kHasGatewayProbe = std::is_same_v<F, link::Probe> || std::is_same_v<F, link::Probed>;

template <class Frame, class Action> void for_each_id(Frame &frame, const Action &action) {
    std::visit(
        [&](auto &f) {
            if constexpr (requires { f.subscription; })
                action(f.subscription);
            if constexpr (requires { f.client; })
                action(f.client);
            if constexpr (kHasGatewayProbe<std::decay_t<decltype(f)>>)
                action(f.probe);
        },
        frame);
}

} // namespace

bool to_hub_ids(link::GatewayFrame &frame, GatewayNumber gateway) {
    bool is_valid = true;
    for_each_id(frame, [&](uint64_t &id) {
        is_valid = is_valid && id <= kMaxOwnId;
        id = hub_id(gateway, id);
    });
    return is_valid;
}

std::optional<GatewayNumber> to_own_ids(link::HubFrame &frame) {
    std::optional<GatewayNumber> gateway;
    for_each_id(frame, [&](uint64_t &id) {
        gateway = gateway_of(id);
        id = own_id(id);
    });
    return gateway;
}

} // namespace rtd
