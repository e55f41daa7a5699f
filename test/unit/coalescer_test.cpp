#include "router/coalescer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

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

TEST(Coalescer, a_change_ends_the_backoff_but_not_within_a_second_of_the_failure) {
    Coalescer coalescer(0, 0);
    coalescer.changed(0, Cause::event);
    for (int64_t now : {0, 1000, 3000, 7000}) {
        coalescer.start(now);
        coalescer.failed(now, Cause::event);
    }
    EXPECT_EQ(coalescer.due_ms(), 15'000);
    coalescer.changed(7500, Cause::poll);
    EXPECT_EQ(coalescer.due_ms(), 15'000) << "time alone mends nothing";
    coalescer.changed(7600, Cause::event);
    EXPECT_EQ(coalescer.due_ms(), 8000);
    coalescer.start(8000);
    coalescer.changed(8100, Cause::sync);
    EXPECT_EQ(coalescer.failed(8200, Cause::event), 1000) << "it may not have seen the change";
    coalescer.start(9200);
    EXPECT_EQ(coalescer.failed(9300, Cause::event), 32'000) << "and is counted all the same";
    coalescer.hasten();
    EXPECT_EQ(coalescer.due_ms(), 10'300);
}

TEST(Coalescer, a_failed_run_says_when_it_is_due_again_whatever_delays_it) {
    Coalescer throttled(5000, 0);
    throttled.changed(0, Cause::event);
    throttled.start(0);
    EXPECT_EQ(throttled.failed(10, Cause::event), 4990);
    EXPECT_EQ(throttled.due_ms(), 5000);
    Coalescer debounced(0, 5000);
    debounced.changed(0, Cause::event);
    debounced.start(5000);
    EXPECT_EQ(debounced.failed(5010, Cause::event), 1000) << "its changes had their quiet time";
}

// What is owed to the changes so far, kept the plain way: one entry per change. The coalescer must
// start at the first moment that no rule forbids.
class Owed {
  public:
    Owed(int64_t throttle_ms, int64_t debounce_ms) : throttle_(throttle_ms), quiet_(debounce_ms) {}

    void change(int64_t now, Cause cause) {
        changes_.push_back({now, cause});
        if (cause != Cause::poll)
            hasten();
    }
    Cause start(int64_t now) {
        running_ = changes_;
        changes_.clear();
        last_start_ = now;
        return strongest(running_);
    }
    void succeed() { failures_ = 0, blocked_until_ = 0; }
    // The changes of the failed run are owed again, at once as far as debounce goes.
    void fail(int64_t now) {
        constexpr int64_t kBackoffMs[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000};
        failed_at_ = now;
        blocked_until_ = now + kBackoffMs[std::min<size_t>(failures_++, 6)];
        if (std::ranges::any_of(changes_,
                                [](auto &change) { return change.second != Cause::poll; }))
            hasten();
        if (changes_.empty())
            for (auto &[at, cause] : running_)
                changes_.push_back({kLongAgo, cause});
        else // they wait for the quiet of those that came while it ran
            changes_.front().second = std::max(changes_.front().second, strongest(running_));
    }

    bool any() const { return !changes_.empty(); }
    bool is_forbidden(int64_t now) const {
        bool is_quiet = now >= changes_.back().first + quiet_;
        bool waited_long_enough = now >= changes_.front().first + 10 * quiet_;
        return now < last_start_ + throttle_ || now < blocked_until_ ||
               !(is_quiet || waited_long_enough);
    }

  private:
    using Changes = std::vector<std::pair<int64_t, Cause>>;
    static constexpr int64_t kLongAgo = -10'000'000;

    // A change may have mended the query.
    void hasten() { blocked_until_ = std::min(blocked_until_, failed_at_ + 1000); }
    static Cause strongest(const Changes &changes) {
        return std::ranges::max_element(changes, {}, &Changes::value_type::second)->second;
    }

    int64_t throttle_, quiet_;
    int64_t last_start_ = kLongAgo;
    int64_t blocked_until_ = 0;
    int64_t failed_at_ = 0;
    size_t failures_ = 0;
    Changes changes_, running_;
};

// The rules, for random changes, runs and failures: the first change of a burst runs at once; two
// starts are never closer than the throttle; a run waits for quiet, but at most ten times the
// debounce; a failed one waits for its backoff, or for a second if anything but time went by; every
// change is followed by a start; and a run is labelled with the strongest of its causes. RTD_SEED
// repeats a sequence.
TEST(Coalescer, starts_at_the_first_moment_that_no_rule_forbids) {
    const char *given = std::getenv("RTD_SEED");
    auto first_seed = given ? static_cast<uint32_t>(std::stoul(given)) : std::random_device()();
    std::cout << "RTD_SEED=" << first_seed << '\n';
    size_t starts = 0, failures = 0, debounced = 0;
    for (uint32_t seed = first_seed; seed != first_seed + 500; seed++) {
        SCOPED_TRACE("RTD_SEED=" + std::to_string(seed));
        std::mt19937 random(seed);
        auto below = [&](uint32_t bound) { return static_cast<int64_t>(random() % bound); };
        int64_t throttle_ms = below(3) * below(150), debounce_ms = below(2) * below(60);
        int64_t failing_percent = below(3) == 0 ? 60 : 0;
        Coalescer coalescer(throttle_ms, debounce_ms);
        Owed owed(throttle_ms, debounce_ms);
        int64_t now = 1'000'000;
        Cause run_cause = Cause::sync;
        for (int step = 0; step < 400 && !::testing::Test::HasFailure(); step++) {
            now += below(4) == 0 ? below(300) : below(20);
            if (coalescer.running()) {
                EXPECT_EQ(coalescer.due_ms(), std::nullopt) << "one run at a time";
                if (below(100) < failing_percent) {
                    owed.fail(now);
                    int64_t in_ms = coalescer.failed(now, run_cause);
                    EXPECT_EQ(coalescer.due_ms(), now + in_ms);
                    failures++;
                } else if (below(2) == 0) {
                    owed.succeed();
                    coalescer.succeeded();
                }
            }
            bool stops = step >= 300; // the rest of the time shows that nothing is forgotten
            if (!stops && below(3) > 0) {
                auto cause = static_cast<Cause>(below(3));
                owed.change(now, cause);
                coalescer.changed(now, cause);
            }
            ASSERT_EQ(coalescer.dirty(), owed.any());
            std::optional<int64_t> due = coalescer.due_ms();
            ASSERT_EQ(due.has_value(), owed.any() && !coalescer.running());
            if (!due)
                continue;
            EXPECT_EQ(*due > now, owed.is_forbidden(now));
            if (*due > now && !stops && below(3) > 0)
                continue; // more happens before it is due
            // A start at the very moment it is due, or later because all query workers are busy.
            if (*due > now) {
                now = *due;
                EXPECT_TRUE(owed.is_forbidden(now - 1));
                EXPECT_FALSE(owed.is_forbidden(now));
                debounced += debounce_ms > 0 ? 1 : 0;
            }
            run_cause = coalescer.start(now);
            EXPECT_EQ(run_cause, owed.start(now));
            starts++;
        }
        EXPECT_FALSE(coalescer.dirty() && !coalescer.running()) << "nothing is forgotten";
        if (HasFailure())
            return;
    }
    // The sequences reach every rule.
    EXPECT_GT(starts, 1000U);
    EXPECT_GT(failures, 100U);
    EXPECT_GT(debounced, 100U);
}

} // namespace
} // namespace rtd
