#include "router/gateway_id.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

template <class Frame> Frame as_hub(link::GatewayFrame frame, GatewayNumber gateway) {
    EXPECT_TRUE(to_hub_ids(frame, gateway));
    return std::get<Frame>(frame);
}

TEST(GatewayId, equal_ids_of_two_gateways_are_different_ids_of_the_hub) {
    auto one = as_hub<link::Subscribe>(link::Subscribe{7, 3, "queue", {}, {}}, 1);
    auto two = as_hub<link::Subscribe>(link::Subscribe{7, 3, "queue", {}, {}}, 2);
    EXPECT_NE(one.subscription, two.subscription);
    EXPECT_NE(one.client, two.client);
    EXPECT_EQ(gateway_of(one.subscription), 1u);
    EXPECT_EQ(gateway_of(two.client), 2u);
}

TEST(GatewayId, what_goes_back_has_the_gateways_own_id) {
    uint64_t client = as_hub<link::Publish>(link::Publish{5, 9, "queue", {}, "1", {}}, 3).client;
    link::HubFrame answer = link::Published{client, 9, 1, false, {}, {}};
    EXPECT_EQ(to_own_ids(answer), 3u);
    EXPECT_EQ(std::get<link::Published>(answer).client, 5u);
    EXPECT_EQ(std::get<link::Published>(answer).request, 9u);

    uint64_t probe = as_hub<link::Probe>(link::Probe{kMaxOwnId}, kMaxGatewayNumber).probe;
    link::HubFrame proof = link::Probed{probe, true, "ready"};
    EXPECT_EQ(to_own_ids(proof), kMaxGatewayNumber);
    EXPECT_EQ(std::get<link::Probed>(proof).probe, kMaxOwnId);
}

TEST(GatewayId, every_frame_about_a_subscription_finds_its_gateway) {
    uint64_t id = hub_id(4, 11);
    std::vector<link::HubFrame> frames = {
        link::Subscribed{id, 1, link::TopicKind::event, false, false, false},
        link::Ended{id, CloseCode::forbidden, "no"}, link::Replayed{id, "{}", "1-1"}};
    for (link::HubFrame &frame : frames)
        EXPECT_EQ(to_own_ids(frame), 4u) << frame.index();
    EXPECT_EQ(std::get<link::Ended>(frames[1]).subscription, 11u);
}

TEST(GatewayId, numbers_that_the_hub_chose_are_left_alone) {
    for (link::HubFrame frame :
         {link::HubFrame(link::Message{hub_id(1, 2), link::Audience::live, "{}", "1-1"}),
          link::HubFrame(link::Ping{hub_id(1, 2)}), link::HubFrame(link::Settings{})}) {
        std::string before = encode(frame);
        EXPECT_EQ(to_own_ids(frame), std::nullopt);
        EXPECT_EQ(encode(frame), before);
    }
    EXPECT_EQ(as_hub<link::Pong>(link::Pong{17}, 3).probe, 17u);
}

TEST(GatewayId, an_id_that_would_be_another_gateways_is_refused) {
    link::GatewayFrame forged = link::Unsubscribe{hub_id(1, 2)};
    EXPECT_FALSE(to_hub_ids(forged, 2));
    link::GatewayFrame half_forged = link::Subscribe{1, kMaxOwnId + 1, "queue", {}, {}};
    EXPECT_FALSE(to_hub_ids(half_forged, 2));
}

} // namespace
} // namespace rtd
