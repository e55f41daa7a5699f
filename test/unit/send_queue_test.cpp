#include "core/send_queue.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

using link::TopicKind;

SendQueue::MessagePtr message(char letter, size_t body_bytes) {
    return std::make_shared<const WsMessage>(std::string(body_bytes, letter));
}

// What is still sent, by first letter of each message.
std::string drain(SendQueue &queue) {
    std::string letters;
    while (!queue.empty()) {
        if ((queue.front()[0] & 0x0f) != 0) // not a continuation
            letters += queue.front().back();
        queue.pop();
    }
    return letters;
}

TEST(SendQueue, messages_leave_in_the_order_they_came) {
    SendQueue queue;
    for (char letter = 'a'; letter <= 'z'; letter++)
        ASSERT_TRUE(queue.push(message(letter, 10), TopicKind::event, 1000));
    EXPECT_EQ(drain(queue), "abcdefghijklmnopqrstuvwxyz");
    EXPECT_EQ(queue.waiting_bytes(), 0u);
}

TEST(SendQueue, a_message_of_any_size_is_taken_when_nothing_waits_and_others_may_follow) {
    SendQueue queue;
    EXPECT_TRUE(queue.push(message('a', 1000), TopicKind::event, 100));
    EXPECT_TRUE(queue.push(message('b', 40), TopicKind::event, 100));
    EXPECT_EQ(drain(queue), "ab");
}

TEST(SendQueue, a_state_skips_to_its_newest_message) {
    SendQueue queue;
    for (char letter : {'a', 'b', 'c'})
        ASSERT_TRUE(queue.push(message(letter, 40), TopicKind::state, 100));
    EXPECT_EQ(queue.dropped(), 0u);
    ASSERT_TRUE(queue.push(message('d', 40), TopicKind::state, 100));
    EXPECT_EQ(queue.dropped(), 3u);
    EXPECT_EQ(queue.waiting_bytes(), 42u);
    EXPECT_EQ(drain(queue), "d");
}

TEST(SendQueue, a_state_larger_than_the_limit_waits_behind_another_of_which_it_is_the_newest) {
    SendQueue queue;
    for (char letter : {'a', 'b', 'c'})
        ASSERT_TRUE(queue.push(message(letter, 1000), TopicKind::state, 100));
    EXPECT_EQ(drain(queue), "c");
}

TEST(SendQueue, a_message_that_has_begun_is_finished) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 2 * kFragmentBytes), TopicKind::state, 60));
    queue.pop(); // the first fragment is out
    ASSERT_TRUE(queue.push(message('b', 40), TopicKind::state, 60));
    ASSERT_TRUE(queue.push(message('c', 40), TopicKind::state, 60));
    EXPECT_EQ(queue.dropped(), 1u);
    EXPECT_EQ(queue.front()[0] & 0x0f, 0);
    EXPECT_EQ(drain(queue), "c");
    EXPECT_EQ(queue.waiting_bytes(), 0u);
}

TEST(SendQueue, an_event_is_never_skipped_so_its_client_is_too_slow) {
    SendQueue queue;
    for (char letter : {'a', 'b', 'c'})
        ASSERT_TRUE(queue.push(message(letter, 40), TopicKind::event, 100));
    EXPECT_FALSE(queue.push(message('d', 40), TopicKind::event, 100));
    EXPECT_EQ(queue.dropped(), 0u);
    EXPECT_EQ(drain(queue), "abc");
}

} // namespace
} // namespace rtd
