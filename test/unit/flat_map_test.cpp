// A hash table of our own: against the standard library's, whatever comes and goes.
#include "router/flat_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace rtd {
namespace {

int values[64];

TEST(FlatMap, an_empty_one_has_nothing) {
    FlatMap<int> map(1);
    EXPECT_EQ(map.find(7), nullptr);
    map.prefetch(7);
    map.erase(7);
    EXPECT_EQ(map.size(), 0u);
}

TEST(FlatMap, the_last_value_of_a_key_counts) {
    FlatMap<int> map(1);
    map.put(7, &values[0]);
    map.put(7, &values[1]);
    EXPECT_EQ(map.find(7), &values[1]);
    EXPECT_EQ(map.size(), 1u);
}

// Keys that want the same place are the ones that an erased key may hide.
TEST(FlatMap, has_what_was_put_and_not_erased) {
    for (uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{0x9e3779b97f4a7c15}}) {
        std::mt19937_64 random(seed);
        FlatMap<int> map(seed);
        std::map<uint64_t, int *> naive;
        for (int step = 0; step < 100'000; step++) {
            uint64_t range = 50 + static_cast<uint64_t>(step) / 100;
            uint64_t key = random() % range << (random() % 2 * 32);
            if (random() % 3 == 0) {
                map.erase(key);
                naive.erase(key);
            } else {
                int *value = &values[random() % 64];
                map.put(key, value);
                naive[key] = value;
            }
            uint64_t asked = random() % range;
            auto expected = naive.find(asked);
            ASSERT_EQ(map.find(asked), expected != naive.end() ? expected->second : nullptr);
            ASSERT_EQ(map.size(), naive.size());
        }
        for (const auto &[key, value] : naive)
            ASSERT_EQ(map.find(key), value);
        while (!naive.empty()) {
            map.erase(naive.begin()->first);
            naive.erase(naive.begin());
            if (!naive.empty()) {
                ASSERT_EQ(map.find(naive.rbegin()->first), naive.rbegin()->second);
            }
        }
        EXPECT_EQ(map.size(), 0u);
    }
}

} // namespace
} // namespace rtd
