#include "core/backoff.h"

#include <gtest/gtest.h>
#include <limits>

namespace rtd {

TEST(Backoff, waits_for_nothing_before_the_first_failure_and_doubles_up_to_the_longest) {
    EXPECT_EQ(backoff_ms(0), 0);
    EXPECT_EQ(backoff_ms(1), 1000);
    EXPECT_EQ(backoff_ms(2), 2000);
    EXPECT_EQ(backoff_ms(6), 32'000);
    EXPECT_EQ(backoff_ms(7), 60'000);
    EXPECT_EQ(backoff_ms(3, 250, 600), 600);
    EXPECT_EQ(backoff_ms(std::numeric_limits<int64_t>::max()), 60'000);
}

} // namespace rtd
