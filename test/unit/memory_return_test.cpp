#include "core/memory_return.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(MemoryReturn, IsNotDueWhileLittleIsFreed) {
    MemoryReturn memory(100, 10);
    EXPECT_FALSE(memory.is_due(0, 0));
    EXPECT_FALSE(memory.is_due(1000, 1));
    EXPECT_FALSE(memory.is_due(901, 2));
    EXPECT_EQ(memory.next_ms(), std::nullopt);
}

TEST(MemoryReturn, IsDueWhenMuchIsFreed) {
    MemoryReturn memory(100, 10);
    EXPECT_FALSE(memory.is_due(1000, 0));
    EXPECT_TRUE(memory.is_due(900, 1));
    EXPECT_FALSE(memory.is_due(850, 2));
    EXPECT_TRUE(memory.is_due(800, 3));
}

// The hub once kept what was freed after the last time: half of what a crowd of clients had.
TEST(MemoryReturn, IsDueAgainAWhileLaterUntilNothingFalls) {
    MemoryReturn memory(100, 10);
    EXPECT_FALSE(memory.is_due(1000, 0));
    EXPECT_TRUE(memory.is_due(100, 0));
    EXPECT_EQ(memory.next_ms(), 10'000);
    EXPECT_FALSE(memory.is_due(20, 9'999));
    EXPECT_TRUE(memory.is_due(20, 10'000));
    EXPECT_EQ(memory.next_ms(), 20'000);
    EXPECT_TRUE(memory.is_due(15, 20'000)); // what fell before, fell for good
    EXPECT_EQ(memory.next_ms(), std::nullopt);
}

TEST(MemoryReturn, RestsWhileTheSameIsInUse) {
    MemoryReturn memory(100, 10);
    for (int64_t ms = 0; ms < 100'000; ms += 1000)
        EXPECT_FALSE(memory.is_due(5000, ms)) << ms;
    EXPECT_EQ(memory.next_ms(), std::nullopt);
}

} // namespace
} // namespace rtd
