#include "core/coalescer.h"

#include <gtest/gtest.h>

#include <random>

namespace rtd {
namespace {

TEST(Coalescer, a_clean_instance_is_never_due) {
    EXPECT_EQ(Coalescer(100, 0).due_ms(), std::nullopt);
}

TEST(Coalescer, the_first_change_runs_at_once) {
    Coalescer coalescer(100, 0);
    coalescer.changed(5000, Cause::event);
    EXPECT_EQ(coalescer.due_ms(), 5000);
}

TEST(Coalescer, a_burst_runs_once_at_its_start_and_once_at_the_end_of_the_interval) {
    Coalescer coalescer(100, 0);
    coalescer.changed(5000, Cause::event);
    coalescer.start(5000);
    coalescer.changed(5001, Cause::event);
    coalescer.changed(5002, Cause::event);
    EXPECT_EQ(coalescer.due_ms(), std::nullopt) << "not while it runs";
    coalescer.succeeded();
    EXPECT_EQ(coalescer.due_ms(), 5100);
    coalescer.start(5100);
    coalescer.succeeded();
    EXPECT_EQ(coalescer.due_ms(), std::nullopt);
}

TEST(Coalescer, debounce_waits_for_quiet) {
    Coalescer coalescer(0, 50);
    coalescer.changed(1000, Cause::event);
    coalescer.changed(1040, Cause::event);
    EXPECT_EQ(coalescer.due_ms(), 1090);
}

TEST(Coalescer, a_steady_stream_cannot_postpone_a_debounced_run_for_ever) {
    Coalescer coalescer(0, 50);
    for (int64_t now = 1000; now < 3000; now += 10)
        coalescer.changed(now, Cause::event);
    EXPECT_EQ(coalescer.due_ms(), 1500);
}

TEST(Coalescer, the_strongest_cause_names_the_run) {
    Coalescer coalescer(0, 0);
    coalescer.changed(1, Cause::poll);
    coalescer.changed(2, Cause::event);
    coalescer.changed(3, Cause::sync);
    EXPECT_EQ(coalescer.start(4), Cause::event);
    coalescer.succeeded();
    coalescer.changed(5, Cause::sync);
    EXPECT_EQ(coalescer.start(6), Cause::sync);
}

TEST(Coalescer, failures_in_a_row_wait_longer_and_a_success_forgets_them) {
    Coalescer coalescer(0, 0);
    coalescer.changed(0, Cause::event);
    int64_t now = 0;
    for (int64_t expected : {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}) {
        coalescer.start(now);
        EXPECT_EQ(coalescer.failed(now, Cause::event), expected);
        EXPECT_EQ(coalescer.due_ms(), now + expected);
        now += expected;
    }
    coalescer.start(now);
    coalescer.succeeded();
    coalescer.changed(now + 1, Cause::event);
    EXPECT_EQ(coalescer.due_ms(), now + 1);
}

// Property: whatever the stream of changes, runs are at least the throttle apart, and every change
// is followed by a run that starts at or after it.
TEST(Coalescer, no_change_is_forgotten_and_no_run_comes_too_early) {
    for (uint32_t seed = 1; seed <= 200; seed++) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        int64_t throttle_ms = random() % 120;
        Coalescer coalescer(throttle_ms, random() % 3 == 0 ? random() % 40 : 0);
        int64_t last_change = -1, last_start = -1'000'000, run_ends = -1;
        for (int64_t now = 0; now < 5000; now++) {
            if (random() % 20 == 0 && now < 4000) {
                coalescer.changed(now, Cause::event);
                last_change = now;
            }
            if (coalescer.running() && now >= run_ends)
                coalescer.succeeded();
            if (std::optional<int64_t> due = coalescer.due_ms(); due && *due <= now) {
                EXPECT_GE(now - last_start, throttle_ms);
                coalescer.start(now);
                last_start = now;
                run_ends = now + random() % 60;
            }
        }
        EXPECT_GE(last_start, last_change);
        EXPECT_FALSE(coalescer.dirty());
    }
}

} // namespace
} // namespace rtd
