#include "gateway/session/send_queue.h"

#include "gateway/websocket/ws_frame.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

WireMessagePtr message(char letter, size_t body_bytes) {
    return std::make_shared<const WireMessage>(ws_message(std::string(body_bytes, letter)));
}

std::string_view front(const SendQueue &queue) {
    std::string_view first;
    queue.for_each_piece([&](std::string_view piece) {
        first = piece;
        return false;
    });
    return first;
}

// What is still sent, by the last letter of each message or control frame.
std::string drain(SendQueue &queue) {
    std::string letters;
    while (!queue.empty()) {
        std::string_view frame = front(queue).substr(0, ws_frame_size(front(queue)));
        if ((frame[0] & 0x80) != 0) // the last fragment
            letters += frame.back();
        queue.pop(frame.size());
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
    queue.pop(kFragmentBytes / 2);
    queue.pop(kFragmentBytes / 2 + 10); // the first fragment is out
    ASSERT_TRUE(queue.push(message('b', 40), 1, QueuePolicy::replace, 60));
    ASSERT_TRUE(queue.push(message('c', 40), 1, QueuePolicy::replace, 60));
    EXPECT_EQ(queue.dropped(), 1u);
    EXPECT_EQ(front(queue)[0] & 0x0f, 0);
    EXPECT_EQ(drain(queue), "ac");
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

// Two messages that are one entry.
WireMessagePtr pair(char first, char second, size_t body_bytes) {
    std::string bytes;
    append_ws_message(bytes, std::string(body_bytes, first));
    size_t last_begin = bytes.size();
    append_ws_message(bytes, std::string(body_bytes, second));
    auto message = std::make_shared<WireMessage>(std::move(bytes), WireMessage::Kind::ws_frames);
    message->set_messages(2, last_begin);
    return message;
}

TEST(SendQueue, of_several_states_at_once_only_the_newest_waits_beyond_the_limit) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 40), 1, QueuePolicy::replace, 60));
    queue.pop(1);
    ASSERT_TRUE(queue.push(pair('b', 'c', 40), 1, QueuePolicy::replace, 60));
    EXPECT_EQ(queue.dropped(), 1u);
    EXPECT_EQ(queue.waiting_bytes(), 41u + 42);
    queue.pop(41);
    EXPECT_EQ(drain(queue), "c");
}

TEST(SendQueue, a_control_frame_goes_before_what_has_not_begun) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 40), 1, QueuePolicy::limit, 100));
    queue.push_control(ws_control_frame(WsOpcode::pong, "p"));
    EXPECT_EQ(drain(queue), "pa");
    EXPECT_EQ(queue.waiting_bytes(), 0u);
}

TEST(SendQueue, a_control_frame_goes_between_the_frames_of_what_has_begun) {
    for (size_t sent : {1, 41, 42, 43, 83}) {
        SendQueue queue;
        ASSERT_TRUE(queue.push(pair('a', 'b', 40), 1, QueuePolicy::limit, 100));
        ASSERT_TRUE(queue.push(message('c', 40), 1, QueuePolicy::limit, 100));
        queue.pop(sent);
        queue.push_control(ws_control_frame(WsOpcode::pong, "p"));
        std::string all;
        queue.for_each_piece([&](std::string_view piece) {
            all += piece;
            return true;
        });
        std::string a = "\x81\x28" + std::string(40, 'a');
        std::string b = "\x81\x28" + std::string(40, 'b');
        std::string c = "\x81\x28" + std::string(40, 'c');
        std::string pong("\x8a\x01p");
        EXPECT_EQ(all,
                  sent <= 42 ? (a + pong + b).substr(sent) + c : (a + b + pong).substr(sent) + c);
        EXPECT_EQ(queue.waiting_bytes(), all.size());
        queue.pop(all.size());
        EXPECT_TRUE(queue.empty());
    }
}

TEST(SendQueue, what_a_control_frame_has_parted_does_not_count_as_waiting_behind) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 4 * kFragmentBytes), 1, QueuePolicy::limit, 100));
    queue.pop(1);
    queue.push_control(ws_control_frame(WsOpcode::pong, "p"));
    EXPECT_TRUE(queue.push(message('b', 40), 1, QueuePolicy::limit, 100));
}

TEST(SendQueue, cut_ends_at_a_whole_frame) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 3 * kFragmentBytes), 1, QueuePolicy::limit, 100));
    ASSERT_TRUE(queue.push(message('b', 40), 1, QueuePolicy::limit, 100));
    queue.pop(100);
    queue.cut();
    EXPECT_EQ(queue.waiting_bytes(), kFragmentBytes + 10 - 100);
    queue.pop(kFragmentBytes + 10 - 100);
    EXPECT_TRUE(queue.empty());
}

TEST(SendQueue, cut_leaves_nothing_of_what_has_not_begun) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(message('a', 40), 1, QueuePolicy::limit, 100));
    ASSERT_TRUE(queue.push(message('b', 40), 1, QueuePolicy::limit, 100));
    queue.pop(42);
    queue.cut();
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.waiting_bytes(), 0u);
}

TEST(SendQueue, an_http_answer_that_has_begun_is_finished) {
    SendQueue queue;
    ASSERT_TRUE(queue.push(std::make_shared<const WireMessage>(std::string(100, 'h')), 1,
                           QueuePolicy::keep, 100));
    queue.pop(10);
    queue.cut();
    EXPECT_EQ(queue.waiting_bytes(), 90u);
}

} // namespace
} // namespace rtd
