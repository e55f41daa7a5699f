#include "router/load_meter.h"

#include <gtest/gtest.h>

#include <utility>

namespace rtd {
namespace {

TEST(LoadMeter, IsQuietAtAHundredEventsASecond) {
    LoadMeter meter;
    for (int64_t ms = 0; ms < 1000; ms += 10) {
        meter.count(ms, 1);
        EXPECT_EQ(meter.nap_ms(ms), 0);
    }
}

TEST(LoadMeter, IsBusyWhileEventsComeFast) {
    LoadMeter meter;
    for (int64_t ms = 0; ms < 100; ms++) {
        meter.count(ms, 10);
        if (ms > 8) {
            EXPECT_EQ(meter.nap_ms(ms), 1) << ms;
        }
    }
}

TEST(LoadMeter, IsQuietSoonAfterABurst) {
    LoadMeter meter;
    meter.count(1000, 100'000);
    EXPECT_EQ(meter.nap_ms(1000), 2);
    EXPECT_EQ(meter.nap_ms(1016), 0);
    meter.count(1020, 1);
    EXPECT_EQ(meter.nap_ms(1020), 0);
}

TEST(LoadMeter, WaitsLongerTheFasterEventsCome) {
    LoadMeter meter;
    int64_t ms = 0;
    for (auto [events, nap_ms] :
         {std::pair{3, 0}, {5, 1}, {15, 1}, {17, 2}, {100, 2}, {5, 1}, {3, 0}}) {
        for (int64_t until = ms + 64; ms < until; ms++) {
            meter.count(ms, static_cast<uint64_t>(events));
            if (ms >= until - 32) {
                EXPECT_EQ(meter.nap_ms(ms), nap_ms) << events << " a millisecond";
            }
        }
    }
}

} // namespace
} // namespace rtd
