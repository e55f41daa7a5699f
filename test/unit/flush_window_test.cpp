#include "core/flush_window.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(FlushWindow, who_was_idle_waits_for_nothing) {
    FlushWindow window;
    EXPECT_EQ(window.wait_us(0), 0u);
    window.flushed(1000, 4000);
    EXPECT_EQ(window.wait_us(7000), 0u);
    EXPECT_EQ(window.wait_us(1'000'000), 0u);
}

TEST(FlushWindow, a_flush_is_followed_by_a_pause_of_a_quarter_of_its_length) {
    FlushWindow window;
    window.flushed(1000, 9000);
    EXPECT_EQ(window.wait_us(9000), 2000u);
    EXPECT_EQ(window.wait_us(10'500), 500u);
}

TEST(FlushWindow, the_pause_has_a_bound) {
    FlushWindow window;
    window.flushed(0, 1'000'000);
    EXPECT_EQ(window.wait_us(1'000'000), FlushWindow::kMaxUs);
}

} // namespace
} // namespace rtd
