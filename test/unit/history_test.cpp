// The bounds of a history, and what it says of those who come back.
#include "router/history.h"

#include <gtest/gtest.h>

#include <vector>

namespace rtd {
namespace {

constexpr History::Bounds kWide{100, 1'000'000};

Sent message(uint64_t sequence, size_t bytes = 10) {
    Sent sent{std::to_string(sequence), {}};
    sent.body.resize(bytes - sent.id.size(), 'x');
    return sent;
}

std::vector<std::string> after(const History &history, uint64_t sequence) {
    std::vector<std::string> ids;
    history.replay(sequence, [&](const Sent &sent) { ids.push_back(sent.id); });
    return ids;
}

TEST(History, an_empty_one_covers_only_the_beginning) {
    History history;
    EXPECT_TRUE(history.covers(0));
    EXPECT_FALSE(history.covers(1)) << "from the future";
    EXPECT_TRUE(after(history, 0).empty());
}

TEST(History, whoever_has_a_message_gets_exactly_those_after_it) {
    History history;
    for (uint64_t n = 1; n <= 5; n++)
        history.add(n, message(n), kWide);
    EXPECT_EQ(after(history, 0), (std::vector<std::string>{"1", "2", "3", "4", "5"}));
    EXPECT_EQ(after(history, 3), (std::vector<std::string>{"4", "5"}));
    EXPECT_TRUE(after(history, 5).empty());
    EXPECT_FALSE(history.covers(6));
    EXPECT_FALSE(history.covers(UINT64_MAX));
}

TEST(History, the_oldest_go_beyond_the_number_of_messages) {
    History history;
    for (uint64_t n = 1; n <= 5; n++)
        history.add(n, message(n), {3, 1'000'000});
    EXPECT_EQ(history.messages(), 3u);
    EXPECT_FALSE(history.covers(1));
    EXPECT_EQ(after(history, 2), (std::vector<std::string>{"3", "4", "5"}));
}

TEST(History, the_oldest_go_beyond_the_number_of_bytes) {
    History history;
    for (uint64_t n = 1; n <= 5; n++)
        history.add(n, message(n, 100), {100, 250});
    EXPECT_EQ(history.bytes(), 200u);
    EXPECT_FALSE(history.covers(2));
    EXPECT_EQ(after(history, 3), (std::vector<std::string>{"4", "5"}));
}

TEST(History, a_message_larger_than_the_bound_cuts_it_off) {
    History history;
    history.add(1, message(1), {100, 50});
    history.add(2, message(2, 51), {100, 50});
    EXPECT_EQ(history.bytes(), 0u);
    EXPECT_FALSE(history.covers(1));
    EXPECT_TRUE(history.covers(2)) << "who has it misses nothing";
    history.add(3, message(3), {100, 50});
    EXPECT_EQ(after(history, 2), (std::vector<std::string>{"3"}));
}

TEST(History, without_room_it_still_knows_the_newest_number) {
    History history;
    history.add(1, message(1), {0, 1'000'000});
    history.add(2, message(2), {0, 1'000'000});
    EXPECT_TRUE(history.covers(2));
    EXPECT_FALSE(history.covers(1));
    EXPECT_EQ(history.messages(), 0u);
}

TEST(History, lower_bounds_hold_from_the_next_message_on) {
    History history;
    for (uint64_t n = 1; n <= 5; n++)
        history.add(n, message(n), kWide);
    history.add(6, message(6), {2, 1'000'000});
    EXPECT_EQ(after(history, 4), (std::vector<std::string>{"5", "6"}));
    EXPECT_FALSE(history.covers(3));
}

TEST(History, a_hole_in_the_numbers_is_never_covered) {
    History history;
    history.add(1, message(1), kWide);
    history.add(7, message(7), kWide);
    EXPECT_FALSE(history.covers(1));
    EXPECT_EQ(after(history, 6), (std::vector<std::string>{"7"}));
}

} // namespace
} // namespace rtd
