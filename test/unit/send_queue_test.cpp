#include "core/send_queue.h"

#include "core/ws_frame.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

WireMessagePtr message(char letter, size_t body_bytes) {
    return std::make_shared<const WireMessage>(ws_message(std::string(body_bytes, letter)));
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
        ASSERT_TRUE(queue.push(message(letter, 10), 1, QueuePolicy::limit, 1000));
    EXPECT_EQ(drain(queue), "abcdefghijklmnopqrstuvwxyz");
    EXPECT_EQ(queue.waiting_bytes(), 0u);
}

TEST(SendQueue, a_message_of_any_size_is_taken_when_nothing_waits_and_others_may_follow) {
    SendQueue queue;
    EXPECT_TRUE(queue.push(message('a', 1000), 1, QueuePolicy::limit, 100));
    EXPECT_TRUE(queue.push(message('b', 40), 1, QueuePolicy::limit, 100));
    EXPECT_EQ(drain(queue), "ab");
}

TEST(SendQueue, a_state_skips_to_its_newest_message) {
    SendQueue queue;
    for (char letter : {'a', 'b', 'c'})
        ASSERT_TRUE(queue.push(message(letter, 40), 1, QueuePolicy::replace, 100));
    EXPECT_EQ(queue.dropped(), 0u);
    ASSERT_TRUE(queue.push(message('d', 40), 1, QueuePolicy::replace, 100));
    EXPECT_EQ(queue.dropped(), 3u);
    EXPECT_EQ(queue.waiting_bytes(), 42u);
    EXPECT_EQ(drain(queue), "d");
}

TEST(SendQueue, a_state_larger_than_the_limit_waits_behind_another_of_which_it_is_the_newest) {
    SendQueue queue;
    for (char letter : {'a', 'b', 'c'})
        ASSERT_TRUE(queue.push(message(letter, 1000), 1, QueuePolicy::replace, 100));
    EXPECT_EQ(drain(queue), "c");
}

TEST(SendQueue, a_message_that_has_begun_is_finished) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 2 * kFragmentBytes), 1, QueuePolicy::replace, 60));
    queue.pop(); // the first fragment is out
    ASSERT_TRUE(queue.push(message('b', 40), 1, QueuePolicy::replace, 60));
    ASSERT_TRUE(queue.push(message('c', 40), 1, QueuePolicy::replace, 60));
    EXPECT_EQ(queue.dropped(), 1u);
    EXPECT_EQ(queue.front()[0] & 0x0f, 0);
    EXPECT_EQ(drain(queue), "c");
    EXPECT_EQ(queue.waiting_bytes(), 0u);
}

TEST(SendQueue, an_event_is_never_skipped_so_its_client_is_too_slow) {
    SendQueue queue;
    for (char letter : {'a', 'b', 'c'})
        ASSERT_TRUE(queue.push(message(letter, 40), 1, QueuePolicy::limit, 100));
    EXPECT_FALSE(queue.push(message('d', 40), 1, QueuePolicy::limit, 100));
    EXPECT_EQ(queue.dropped(), 0u);
    EXPECT_EQ(drain(queue), "abc");
}

TEST(SendQueue, a_state_skips_older_messages_of_its_own_instance_and_of_no_other) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 40), 1, QueuePolicy::replace, 150));
    ASSERT_TRUE(queue.push(message('b', 40), 2, QueuePolicy::replace, 150));
    ASSERT_TRUE(queue.push(message('e', 40), 3, QueuePolicy::limit, 150));
    ASSERT_TRUE(queue.push(message('A', 40), 1, QueuePolicy::replace, 150));
    EXPECT_EQ(queue.dropped(), 0u);
    ASSERT_TRUE(queue.push(message('x', 40), 1, QueuePolicy::replace, 150));
    EXPECT_EQ(queue.dropped(), 2u);
    EXPECT_EQ(drain(queue), "bex");
}

TEST(SendQueue, states_of_many_instances_wait_beyond_the_limit_once_each) {
    SendQueue queue;
    for (int round = 0; round < 3; round++)
        for (uint64_t instance = 0; instance < 10; instance++)
            ASSERT_TRUE(queue.push(message(static_cast<char>('a' + instance), 40), instance,
                                   QueuePolicy::replace, 100));
    EXPECT_EQ(drain(queue), "abcdefghij");
}

TEST(SendQueue, many_states_do_not_make_a_client_too_slow_for_an_event) {
    SendQueue queue;
    for (uint64_t instance = 0; instance < 10; instance++)
        ASSERT_TRUE(queue.push(message('s', 40), instance, QueuePolicy::replace, 100));
    EXPECT_TRUE(queue.push(message('e', 40), 11, QueuePolicy::limit, 100));
    EXPECT_TRUE(queue.push(message('f', 40), 11, QueuePolicy::limit, 100));
    EXPECT_FALSE(queue.push(message('g', 40), 11, QueuePolicy::limit, 100));
    queue.drop(11);
    EXPECT_EQ(drain(queue), "ssssssssss");
    EXPECT_EQ(queue.waiting_bytes(), 0u);
}

TEST(SendQueue, what_is_bounded_elsewhere_is_always_taken_and_does_not_count) {
    SendQueue queue;
    for (int i = 0; i < 10; i++)
        ASSERT_TRUE(queue.push(message('r', 90), 1, QueuePolicy::keep, 100));
    EXPECT_TRUE(queue.push(message('e', 90), 1, QueuePolicy::limit, 100));
    EXPECT_EQ(drain(queue), "rrrrrrrrrre");
}

} // namespace
} // namespace rtd
