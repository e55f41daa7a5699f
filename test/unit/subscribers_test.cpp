#include "router/subscribers.h"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

namespace rtd {
namespace {

std::map<GatewayNumber, size_t> shares(const Subscribers &subscribers) {
    std::map<GatewayNumber, size_t> found;
    for (const Subscribers::Share &share : subscribers.gateways())
        EXPECT_TRUE(found.emplace(share.gateway, share.count).second) << "a gateway is there twice";
    return found;
}

TEST(Subscribers, a_gateway_counts_while_it_has_a_subscription) {
    Subscribers subscribers;
    subscribers.insert(hub_id(1, 1));
    subscribers.insert(hub_id(2, 1));
    subscribers.insert(hub_id(2, 2));
    EXPECT_EQ(shares(subscribers), (std::map<GatewayNumber, size_t>{{1, 1}, {2, 2}}));
    subscribers.erase(hub_id(1, 1));
    subscribers.erase(hub_id(2, 1));
    EXPECT_EQ(shares(subscribers), (std::map<GatewayNumber, size_t>{{2, 1}}));
    subscribers.clear();
    EXPECT_TRUE(subscribers.empty());
    EXPECT_TRUE(subscribers.gateways().empty());
}

TEST(Subscribers, shares_are_what_a_count_of_the_set_gives_whatever_comes_and_goes) {
    std::mt19937 random(5);
    Subscribers subscribers;
    std::set<uint64_t> expected;
    for (int step = 0; step < 20000; step++) {
        uint64_t id = hub_id(random() % 4, random() % 8); // often there already, or not there
        if (random() % 2 == 0) {
            subscribers.insert(id);
            expected.insert(id);
        } else {
            subscribers.erase(id);
            expected.erase(id);
        }
        std::map<GatewayNumber, size_t> counted;
        for (uint64_t there : expected)
            counted[gateway_of(there)]++;
        ASSERT_EQ(shares(subscribers), counted) << "step " << step;
        ASSERT_EQ(subscribers.size(), expected.size());
    }
}

} // namespace
} // namespace rtd
