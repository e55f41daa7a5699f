// The bounds of a history, and what it says of those who come back.
#include "router/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace rtd {
namespace {

constexpr History::Bounds kWide{100, 1'000'000};

std::string body(uint64_t sequence, size_t bytes = 10) {
    std::string text = std::to_string(sequence) + ' ';
    text.resize(bytes, 'x');
    return text;
}

std::vector<std::string> after(const History &history, uint64_t sequence) {
    std::vector<std::string> ids;
    history.replay(sequence, [&](const Sent &sent) {
        std::optional<MessageId> id = parse_message_id(sent.id);
        ASSERT_TRUE(id);
        EXPECT_EQ(sent.body.substr(0, sent.body.find(' ')), std::to_string(id->sequence));
        ids.push_back(std::to_string(id->sequence));
    });
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
        history.add({7, n}, body(n), kWide);
    EXPECT_EQ(after(history, 0), (std::vector<std::string>{"1", "2", "3", "4", "5"}));
    EXPECT_EQ(after(history, 3), (std::vector<std::string>{"4", "5"}));
    EXPECT_TRUE(after(history, 5).empty());
    EXPECT_FALSE(history.covers(6));
    EXPECT_FALSE(history.covers(UINT64_MAX));
}

TEST(History, the_oldest_go_beyond_the_number_of_messages) {
    History history;
    for (uint64_t n = 1; n <= 5; n++)
        history.add({7, n}, body(n), {3, 1'000'000});
    EXPECT_EQ(history.messages(), 3u);
    EXPECT_FALSE(history.covers(1));
    EXPECT_EQ(after(history, 2), (std::vector<std::string>{"3", "4", "5"}));
}

TEST(History, the_oldest_go_beyond_the_number_of_bytes) {
    History history;
    for (uint64_t n = 1; n <= 5; n++)
        history.add({7, n}, body(n, 100), {100, 250});
    EXPECT_EQ(history.bytes(), 200u);
    EXPECT_FALSE(history.covers(2));
    EXPECT_EQ(after(history, 3), (std::vector<std::string>{"4", "5"}));
}

TEST(History, a_message_larger_than_the_bound_cuts_it_off) {
    History history;
    history.add({7, 1}, body(1), {100, 50});
    history.add({7, 2}, body(2, 51), {100, 50});
    EXPECT_EQ(history.bytes(), 0u);
    EXPECT_FALSE(history.covers(1));
    EXPECT_TRUE(history.covers(2)) << "who has it misses nothing";
    history.add({7, 3}, body(3), {100, 50});
    EXPECT_EQ(after(history, 2), (std::vector<std::string>{"3"}));
}

TEST(History, without_room_it_still_knows_the_newest_number) {
    History history;
    history.add({7, 1}, body(1), {0, 1'000'000});
    history.add({7, 2}, body(2), {0, 1'000'000});
    EXPECT_TRUE(history.covers(2));
    EXPECT_FALSE(history.covers(1));
    EXPECT_EQ(history.messages(), 0u);
}

TEST(History, lower_bounds_hold_from_the_next_message_on) {
    History history;
    for (uint64_t n = 1; n <= 5; n++)
        history.add({7, n}, body(n), kWide);
    history.add({7, 6}, body(6), {2, 1'000'000});
    EXPECT_EQ(after(history, 4), (std::vector<std::string>{"5", "6"}));
    EXPECT_FALSE(history.covers(3));
}

TEST(History, a_hole_in_the_numbers_is_never_covered) {
    History history;
    history.add({7, 1}, body(1), kWide);
    history.add({7, 7}, body(7), kWide);
    EXPECT_FALSE(history.covers(1));
    EXPECT_EQ(after(history, 6), (std::vector<std::string>{"7"}));
}

// The ids of what is kept are made anew, so all of it is of one epoch.
TEST(History, a_message_of_another_epoch_follows_nothing) {
    History history;
    history.add({7, 1}, body(1), kWide);
    history.add({8, 2}, body(2), kWide);
    EXPECT_FALSE(history.covers(0));
    std::vector<std::string> ids;
    history.replay(1, [&](const Sent &sent) { ids.push_back(sent.id); });
    EXPECT_EQ(ids, (std::vector<std::string>{"8-2"}));
}

// Places of messages that went are used again, or moved, and nobody is told another's message.
TEST(History, is_the_last_messages_whatever_the_bounds_were) {
    std::mt19937 random(11);
    for (size_t messages : {1, 3, 8, 100, 129}) {
        History history;
        size_t lowest = messages;
        for (uint64_t n = 1; n <= 1000; n++) {
            size_t most = random() % 50 == 0 ? 1 + random() % messages : messages;
            lowest = std::min(most, lowest + 1);
            history.add({7, n}, body(n, 10 + random() % 90), {most, 1'000'000});
            lowest = std::min<size_t>(lowest, n);
            ASSERT_EQ(history.messages(), lowest) << n;
            ASSERT_TRUE(history.covers(n - lowest));
            ASSERT_EQ(after(history, n - lowest).size(), lowest);
            ASSERT_FALSE(n > lowest && history.covers(n - lowest - 1));
        }
    }
}

} // namespace
} // namespace rtd
