#include "gateway/admission/token_bucket.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

using Answer = TokenBucket::Answer;

TEST(TokenBucket, a_burst_may_come_at_once_and_then_as_time_goes_by) {
    TokenBucket bucket;
    for (int i = 0; i < 40; i++)
        EXPECT_EQ(bucket.take(10, 5000), Answer::granted);
    EXPECT_EQ(bucket.take(10, 5000), Answer::refused);
    EXPECT_EQ(bucket.take(10, 5150), Answer::refused); // one and a half, but one is owed
    EXPECT_EQ(bucket.take(10, 5300), Answer::granted);
    for (int i = 0; i < 40; i++)
        EXPECT_EQ(bucket.take(10, 60000), Answer::granted) << "a minute of silence is no more";
    EXPECT_EQ(bucket.take(10, 60000), Answer::refused);
}

TEST(TokenBucket, who_goes_on_is_told_apart_from_who_was_a_bit_quick) {
    TokenBucket bucket;
    for (int i = 0; i < 40; i++)
        EXPECT_EQ(bucket.take(10, 1), Answer::granted);
    for (int i = 0; i < 10; i++)
        EXPECT_EQ(bucket.take(10, 1), Answer::refused);
    EXPECT_EQ(bucket.take(10, 1), Answer::abused);
}

TEST(TokenBucket, a_rate_of_zero_is_no_limit) {
    TokenBucket bucket;
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(bucket.take(0, 1), Answer::granted);
}

} // namespace
} // namespace rtd
