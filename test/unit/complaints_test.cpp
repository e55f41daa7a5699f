#include "core/complaints.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(Complaints, AProblemIsToldAtOnceAndThenOnceInAnInterval) {
    Complaints complaints;
    EXPECT_EQ(complaints.admit("disk", 0), 0U);
    for (int64_t ms = 1; ms < Complaints::kIntervalMs; ms++)
        EXPECT_FALSE(complaints.admit("disk", ms));
    EXPECT_EQ(complaints.admit("lock", 1), 0U) << "another one has its own lines";
    EXPECT_EQ(complaints.admit("disk", Complaints::kIntervalMs), Complaints::kIntervalMs - 1U);
    EXPECT_FALSE(complaints.admit("disk", Complaints::kIntervalMs + 1));
}

TEST(Complaints, SomeProblemsGetSeveralLines) {
    Complaints complaints;
    for (int n = 0; n < 3; n++)
        EXPECT_EQ(complaints.admit("query", 0, 3), 0U);
    EXPECT_FALSE(complaints.admit("query", 0, 3));
    EXPECT_EQ(complaints.admit("query", Complaints::kIntervalMs, 3), 1U);
}

TEST(Complaints, AnyNumberOfProblemsIsBounded) {
    Complaints complaints;
    size_t told = 0;
    for (size_t n = 0; n < 10 * Complaints::kMostProblems; n++)
        told += complaints.admit(std::to_string(n), 0).has_value();
    EXPECT_LE(told, Complaints::kMostProblems + 1);
    EXPECT_TRUE(complaints.admit("later", Complaints::kIntervalMs));
}

} // namespace
} // namespace rtd
