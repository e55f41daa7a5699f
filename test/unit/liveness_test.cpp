#include "router/liveness.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

using Verdict = Liveness::Verdict;
constexpr int64_t kPatienceMs = 30'000;

Liveness begun() {
    Liveness liveness;
    liveness.heard(1000);
    return liveness;
}

TEST(Liveness, AsksOneThatWasQuietForAThirdOfItsTime) {
    Liveness liveness = begun();
    EXPECT_EQ(liveness.next_look_ms(kPatienceMs), 11'000);
    EXPECT_EQ(liveness.look(10'999, kPatienceMs), Verdict::alive);
    EXPECT_EQ(liveness.look(11'000, kPatienceMs), Verdict::ask);
    EXPECT_EQ(liveness.look(11'001, kPatienceMs), Verdict::alive); // once
}

TEST(Liveness, GivesUpOneThatDoesNotAnswerInTheRestOfIt) {
    Liveness liveness = begun();
    EXPECT_EQ(liveness.look(11'000, kPatienceMs), Verdict::ask);
    EXPECT_EQ(liveness.next_look_ms(kPatienceMs), 31'000);
    EXPECT_EQ(liveness.look(30'999, kPatienceMs), Verdict::alive);
    EXPECT_EQ(liveness.look(31'000, kPatienceMs), Verdict::silent);
}

TEST(Liveness, NeverAsksOneThatIsHeardOf) {
    Liveness liveness = begun();
    for (int64_t now_ms = 1000; now_ms < 200'000; now_ms += 9'000) {
        EXPECT_EQ(liveness.look(now_ms, kPatienceMs), Verdict::alive) << now_ms;
        liveness.heard(now_ms);
    }
}

TEST(Liveness, BeginsAnewWithTheAnswer) {
    Liveness liveness = begun();
    EXPECT_EQ(liveness.look(11'000, kPatienceMs), Verdict::ask);
    liveness.heard(30'000);
    EXPECT_EQ(liveness.look(39'999, kPatienceMs), Verdict::alive);
    EXPECT_EQ(liveness.look(40'000, kPatienceMs), Verdict::ask);
    EXPECT_EQ(liveness.look(60'000, kPatienceMs), Verdict::silent);
}

// The hub was stopped, or the machine was: the gateway may have been, too.
TEST(Liveness, AsksAgainIfItIsTheHubThatStoodStill) {
    Liveness liveness = begun();
    EXPECT_EQ(liveness.look(11'000, kPatienceMs), Verdict::ask);
    EXPECT_EQ(liveness.look(3'600'000, kPatienceMs), Verdict::ask);
    EXPECT_EQ(liveness.look(3'619'999, kPatienceMs), Verdict::alive);
    EXPECT_EQ(liveness.look(3'620'000, kPatienceMs), Verdict::silent);
}

TEST(Liveness, AsksFirstHoweverLongNobodyLooked) {
    Liveness liveness = begun();
    EXPECT_EQ(liveness.look(3'600'000, kPatienceMs), Verdict::ask);
    EXPECT_EQ(liveness.look(3'620'001, kPatienceMs), Verdict::silent);
}

TEST(Liveness, WaitsForEverIfThereIsNoBound) {
    Liveness liveness = begun();
    EXPECT_EQ(liveness.next_look_ms(0), std::nullopt);
    EXPECT_EQ(liveness.look(INT64_MAX / 2, 0), Verdict::alive);
    EXPECT_EQ(liveness.look(INT64_MAX / 2, kPatienceMs), Verdict::ask); // a reload set one
}

} // namespace
} // namespace rtd
