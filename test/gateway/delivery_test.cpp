// Messages: who gets which, in what order, and what happens to those who do not read.
#include "client.h"

namespace rtd::test {
namespace {

using namespace rtd::link;

struct Subscriber {
    Client client;
    uint64_t subscription;

    Subscriber(GatewayProcess &gateway, uint64_t instance, TopicKind kind, bool awaits_first,
               int receive_buffer_bytes = 0)
        : client(gateway.port, receive_buffer_bytes) {
        EXPECT_EQ(client.upgrade("/ws/queue"), 101);
        gateway.expect<ClientConnected>();
        subscription = gateway.expect<Subscribe>().subscription;
        gateway.send(Subscribed{subscription, instance, kind, awaits_first, false});
    }
};

std::string numbered(int number, size_t bytes) {
    std::string text = std::to_string(number) + ":";
    text.resize(std::max(bytes, text.size()), 'x');
    return text;
}
int number_of(const std::string &text) {
    return text.empty() ? -1 : std::stoi(text);
}

// Everything sent to the gateway so far has been handled.
void settle(GatewayProcess &gateway) {
    static uint64_t last = 0;
    gateway.send(Ping{++last});
    EXPECT_EQ(gateway.expect<Pong>().probe, last);
}

TEST(Delivery, messages_arrive_in_order) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, 1, TopicKind::event, false);
    for (int i = 0; i < 1000; i++)
        gateway.send(Message{1, Audience::live, numbered(i, 1 + i % 300), "1-1"});
    for (int i = 0; i < 1000; i++)
        ASSERT_EQ(subscriber.client.read_text(), numbered(i, 1 + i % 300));
}

TEST(Delivery, what_a_client_missed_comes_to_it_alone_and_before_what_follows) {
    GatewayProcess gateway(local_settings());
    Subscriber stayed(gateway, 1, TopicKind::event, false);
    Client back(gateway.port);
    EXPECT_EQ(back.upgrade("/ws/queue/a%20b?x=y&since=7%2D3"), 101);
    gateway.expect<ClientConnected>();
    Subscribe request = gateway.expect<Subscribe>();
    EXPECT_EQ(request.since, "7-3");
    EXPECT_EQ(request.params, std::vector<std::string>{"a b"});
    gateway.send(Subscribed{request.subscription, 1, TopicKind::event, false, true});
    gateway.send(Replayed{request.subscription, "missed 1", "7-4"});
    gateway.send(Replayed{request.subscription, "missed 2", "7-5"});
    gateway.send(Message{1, Audience::live, "new", "7-6"});
    for (const char *text : {"missed 1", "missed 2", "new"})
        EXPECT_EQ(back.read_text(), text);
    EXPECT_EQ(stayed.client.read_text(), "new");
}

TEST(Delivery, the_first_message_comes_before_all_others) {
    GatewayProcess gateway(local_settings());
    Subscriber early(gateway, 1, TopicKind::state, false);
    Subscriber late(gateway, 1, TopicKind::state, true);
    gateway.send(Message{1, Audience::live, "change 1", "1-1"});
    gateway.send(Message{1, Audience::waiting, "snapshot", "1-1"});
    gateway.send(Message{1, Audience::live, "change 2", "1-1"});
    gateway.send(Message{1, Audience::waiting, "nobody waits any more", "1-1"});
    EXPECT_EQ(late.client.read_text(), "snapshot");
    EXPECT_EQ(late.client.read_text(), "change 2");
    EXPECT_EQ(early.client.read_text(), "change 1");
    EXPECT_EQ(early.client.read_text(), "change 2");
    gateway.send(Message{1, Audience::live, "end", "1-1"});
    EXPECT_EQ(late.client.read_text(), "end");
    EXPECT_EQ(early.client.read_text(), "end");
}

TEST(Delivery, a_message_reaches_the_subscribers_of_its_instance_alone) {
    GatewayProcess gateway(local_settings());
    Subscriber one(gateway, 1, TopicKind::event, false), two(gateway, 2, TopicKind::event, false);
    gateway.send(Message{1, Audience::live, "for 1", "1-1"});
    gateway.send(Message{3, Audience::live, "for nobody", "1-1"});
    gateway.send(Message{2, Audience::live, "for 2", "1-1"});
    EXPECT_EQ(one.client.read_text(), "for 1");
    EXPECT_EQ(two.client.read_text(), "for 2");
}

TEST(Delivery, nothing_arrives_before_the_hub_has_accepted) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    gateway.expect<ClientConnected>();
    uint64_t subscription = gateway.expect<Subscribe>().subscription;
    gateway.send(Message{1, Audience::live, "too early", "1-1"});
    gateway.send(Subscribed{subscription, 1, TopicKind::event, false, false});
    gateway.send(Message{1, Audience::live, "in time", "1-1"});
    EXPECT_EQ(client.read_text(), "in time");
}

TEST(Delivery, an_answer_for_a_client_that_left_is_ignored) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    gateway.expect<ClientConnected>();
    uint64_t subscription = gateway.expect<Subscribe>().subscription;
    client.vanish();
    EXPECT_EQ(gateway.expect<Unsubscribe>().subscription, subscription);
    gateway.expect<ClientDisconnected>();
    gateway.send(Subscribed{subscription, 1, TopicKind::event, true, false});
    gateway.send(Ended{subscription, CloseCode::topic_dropped, ""});
    gateway.send(Message{1, Audience::waiting, "nobody", "1-1"});
    settle(gateway);
}

TEST(Delivery, clients_that_leave_in_any_order_do_not_disturb_the_others) {
    GatewayProcess gateway(local_settings());
    std::vector<std::unique_ptr<Subscriber>> subscribers;
    for (int i = 0; i < 100; i++)
        subscribers.push_back(
            std::make_unique<Subscriber>(gateway, 1, TopicKind::event, i % 2 == 0));
    gateway.send(Message{1, Audience::waiting, "first", "1-1"});
    for (int i = 0; i < 100; i += 2)
        EXPECT_EQ(subscribers[i]->client.read_text(), "first");
    for (int i = 0; i < 100; i += 3) {
        subscribers[i]->client.vanish();
        gateway.expect<Unsubscribe>();
        gateway.expect<ClientDisconnected>();
    }
    gateway.send(Message{1, Audience::live, "later", "1-1"});
    for (int i = 0; i < 100; i++) {
        bool has_left = i % 3 == 0;
        EXPECT_EQ(has_left ? "later" : subscribers[i]->client.read_text(), "later");
    }
}

TEST(Delivery, a_message_of_16_MB_arrives_whole_and_pings_are_answered_meanwhile) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, 1, TopicKind::event, false, 65536);
    std::string large(16 << 20, ' ');
    for (size_t i = 0; i < large.size(); i++)
        large[i] = static_cast<char>('a' + i * 7919 % 26);
    gateway.send(Message{1, Audience::live, large, "1-1"});
    gateway.send(Message{1, Audience::live, "small", "1-1"});
    settle(gateway); // by now some of it waits in the gateway
    subscriber.client.send_frame(kPing, "x");
    EXPECT_TRUE(subscriber.client.read_text() == large);
    EXPECT_EQ(subscriber.client.pongs, 1);
    EXPECT_EQ(subscriber.client.read_text(), "small");
}

TEST(SlowClient, of_a_state_gets_the_newest_and_skips_what_it_was_too_slow_for) {
    Settings settings = local_settings();
    settings.client_buffer_bytes = 200000;
    GatewayProcess gateway(settings);
    Subscriber slow(gateway, 1, TopicKind::state, false, 4096);
    Subscriber fast(gateway, 1, TopicKind::state, false);
    constexpr int kMessages = 400;
    constexpr size_t kBytes = 50000;
    for (int i = 0; i < kMessages; i++) {
        gateway.send(Message{1, Audience::live, numbered(i, kBytes), "1-1"});
        ASSERT_EQ(number_of(fast.client.read_text()), i);
    }
    settle(gateway);
    int received = 0, last = -1;
    while (last != kMessages - 1) {
        std::string text = slow.client.read_text();
        ASSERT_EQ(text.size(), kBytes);
        ASSERT_GT(number_of(text), last);
        last = number_of(text);
        received++;
    }
    EXPECT_LT(received, kMessages / 2);
    gateway.send(Message{1, Audience::live, "and on", "1-1"});
    EXPECT_EQ(slow.client.read_text(), "and on");
    slow.client.vanish();
    gateway.expect<Unsubscribe>();
    EXPECT_NE(gateway.expect<Note>().text.find("skipped"), std::string::npos);
    gateway.expect<ClientDisconnected>();
}

TEST(SlowClient, of_events_is_closed_with_4501_after_what_it_was_sent) {
    Settings settings = local_settings();
    settings.client_buffer_bytes = 200000;
    GatewayProcess gateway(settings);
    Subscriber slow(gateway, 1, TopicKind::event, false, 4096);
    Subscriber fast(gateway, 1, TopicKind::event, false);
    int sent = 0;
    for (; sent < 400; sent++) {
        gateway.send(Message{1, Audience::live, numbered(sent, 50000), "1-1"});
        ASSERT_EQ(number_of(fast.client.read_text()), sent);
    }
    EXPECT_EQ(gateway.expect<Unsubscribe>().subscription, slow.subscription);
    int next = 0;
    std::string text;
    while (!(text = slow.client.read_text()).empty())
        ASSERT_EQ(number_of(text), next++); // none is missing up to the close
    EXPECT_EQ(slow.client.last.opcode, kClose);
    EXPECT_EQ(slow.client.last.close_code(), 4501);
    EXPECT_LT(next, sent);
    slow.client.send_frame(kClose, slow.client.last.payload);
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 4501);
}

// A write that failed emptied the queue, and then its first message was taken off it.
TEST(SlowClient, that_resets_its_connection_while_messages_are_written_hurts_nobody) {
    GatewayProcess gateway(local_settings());
    Subscriber other(gateway, 2, TopicKind::event, false);
    std::string large = numbered(0, 4 << 20);
    for (int i = 0; i < 100; i++) {
        Subscriber resetting(gateway, 1, TopicKind::state, false);
        gateway.send(Message{1, Audience::live, large, "1-1"});
        for (int frames = 0; frames < i % 20; frames++)
            resetting.client.read_frame();
        resetting.client.reset();
        gateway.expect<Unsubscribe>();
        gateway.expect<ClientDisconnected>();
    }
    gateway.send(Message{2, Audience::live, "still here", "1-1"});
    EXPECT_EQ(other.client.read_text(), "still here");
}

// More clients than are written in a turn of the loop, and more bytes than are taken from the link
// in a round of writing: whoever is written late gets several messages at once, and all of them.
TEST(Crowd, gets_all_messages_in_order_also_those_that_come_while_others_are_written) {
    constexpr int kClients = 300, kMessages = 40, kMessageBytes = 16 << 10;
    GatewayProcess gateway(local_settings());
    std::vector<std::unique_ptr<Subscriber>> subscribers;
    for (int i = 0; i < kClients; i++)
        subscribers.push_back(std::make_unique<Subscriber>(gateway, 1, TopicKind::event, false));
    for (int i = 0; i < kMessages; i++)
        gateway.send(Message{1, Audience::live, numbered(i, kMessageBytes), "1-1"});
    subscribers[kClients / 2]->client.vanish(); // perhaps when it is its turn
    subscribers.erase(subscribers.begin() + kClients / 2);
    for (auto &subscriber : subscribers)
        for (int i = 0; i < kMessages; i++)
            ASSERT_TRUE(subscriber->client.read_text() == numbered(i, kMessageBytes)) << i;
}

// 30 clients that do not read share one frame of 8 MB; a copy for each would be 240 MB.
TEST(SlowClient, memory_is_bounded_when_many_do_not_read_a_large_message) {
    GatewayProcess gateway(local_settings());
    std::vector<std::unique_ptr<Subscriber>> subscribers;
    for (int i = 0; i < 30; i++)
        subscribers.push_back(
            std::make_unique<Subscriber>(gateway, 1, TopicKind::state, false, 4096));
    size_t before = gateway.resident_bytes();
    for (int i = 0; i < 5; i++)
        gateway.send(Message{1, Audience::live, numbered(i, 8 << 20), "1-1"});
    settle(gateway);
    // The message begun, the newest, the link's buffer, and a fragment for each client.
    EXPECT_LT(gateway.resident_bytes() - before, size_t(80) << 20);
}

} // namespace
} // namespace rtd::test
