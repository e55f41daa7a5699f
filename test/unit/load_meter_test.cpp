#include "router/load_meter.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(LoadMeter, IsQuietAtAHundredEventsASecond) {
    LoadMeter meter;
    for (int64_t ms = 0; ms < 1000; ms += 10) {
        meter.count(ms, 1);
        EXPECT_FALSE(meter.is_busy(ms));
    }
}

TEST(LoadMeter, IsBusyWhileEventsComeFast) {
    LoadMeter meter;
    for (int64_t ms = 0; ms < 100; ms++) {
        meter.count(ms, 10);
        if (ms > 8) {
            EXPECT_TRUE(meter.is_busy(ms)) << ms;
        }
    }
}

TEST(LoadMeter, IsQuietSoonAfterABurst) {
    LoadMeter meter;
    meter.count(1000, 100'000);
    EXPECT_TRUE(meter.is_busy(1000));
    EXPECT_FALSE(meter.is_busy(1016));
    meter.count(1020, 1);
    EXPECT_FALSE(meter.is_busy(1020));
}

} // namespace
} // namespace rtd
