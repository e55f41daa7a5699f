// The multiplexed WebSocket: what a client may say, what it is answered, and that one request or
// subscription never disturbs another.
#include "client.h"

#include <jansson.h>

namespace rtd::test {
namespace {

using namespace rtd::link;

// A control message, taken apart.
struct Answer {
    std::string text, type, topic, data;
    int code = 0;

    explicit Answer(const std::string &text) : text(text) {
        json_t *message = json_loads(text.c_str(), 0, nullptr);
        EXPECT_TRUE(json_is_object(message)) << "'" << text << "'";
        if (!message)
            return;
        auto member = [&](const char *name) {
            const char *value = json_string_value(json_object_get(message, name));
            return std::string(value ? value : "");
        };
        type = member("type");
        topic = member("topic");
        EXPECT_EQ(member("kind"), "control") << text;
        EXPECT_EQ(member("source"), "event") << text;
        EXPECT_TRUE(json_is_null(json_object_get(message, "id"))) << text;
        json_t *object = json_object_get(message, "data");
        code = static_cast<int>(json_integer_value(json_object_get(object, "code")));
        char *dumped = json_dumps(object, JSON_COMPACT);
        data = dumped ? dumped : "";
        free(dumped);
        json_decref(message);
    }
};

struct Multiplexed {
    GatewayProcess &gateway;
    Client client;
    ClientConnected connected;

    explicit Multiplexed(GatewayProcess &gateway, int receive_buffer_bytes = 0)
        : gateway(gateway), client(gateway.port, receive_buffer_bytes) {
        EXPECT_EQ(client.upgrade("/ws"), 101);
        connected = gateway.expect<ClientConnected>();
    }
    void say(std::string_view text) { client.send_frame(kText, text); }
    Answer answer() { return Answer(client.read_text()); }
    Answer ask(std::string_view text) {
        say(text);
        return answer();
    }
    // Subscribes and is accepted.
    uint64_t subscribe(const std::string &topic, uint64_t instance,
                       TopicKind kind = TopicKind::event, bool awaits_first = false) {
        say(R"({"action":"subscribe","topic":")" + topic + "\"}");
        auto subscribe = gateway.expect<Subscribe>();
        EXPECT_EQ(subscribe.topic, topic);
        gateway.send(Subscribed{subscribe.subscription, instance, kind, awaits_first, false});
        EXPECT_EQ(answer().type, "rtd_subscribed");
        return subscribe.subscription;
    }
    void expect_alive() { EXPECT_EQ(ask(R"({"action":"ping"})").type, "rtd_pong"); }
};

TEST(Multiplexed, a_connection_begins_without_a_subscription_and_a_ping_is_answered) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    Answer pong = client.ask(R"({"action":"ping","ref":"a \"b\""})");
    EXPECT_EQ(pong.type, "rtd_pong");
    EXPECT_EQ(pong.topic, "");
    EXPECT_EQ(pong.data, R"({"ref":"a \"b\""})");
    EXPECT_EQ(client.ask(R"({"ref":-3,"action":"ping"})").data, R"({"ref":-3})");
    EXPECT_EQ(client.ask(R"({"action":"ping"})").data, "{}");
}

// What the gateway reads at once it writes at once; nobody may see that.
TEST(Multiplexed, messages_of_several_instances_keep_the_order_of_the_link) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.subscribe("first", 1);
    client.subscribe("second", 2);
    Client single(gateway.port); // has only the first one's, and gets all of them
    ASSERT_EQ(single.upgrade("/ws/first"), 101);
    gateway.expect<ClientConnected>();
    gateway.send(
        Subscribed{gateway.expect<Subscribe>().subscription, 1, TopicKind::event, false, false});

    std::string frames, expected, expected_of_first;
    for (int i = 0; i < 500; i++) {
        uint64_t instance = i % 7 < 3 ? 1 : 2;
        std::string body = std::to_string(instance) + "." + std::to_string(i);
        frames += encode(HubFrame(Message{instance, Audience::live, body, ""}));
        expected += body + " ";
        if (instance == 1)
            expected_of_first += body + " ";
        if (i == 250) {
            std::string gap = R"({"type":"rtd_gap"})";
            frames += encode(HubFrame(Control{1, gap}));
            expected += gap + " ";
        }
    }
    gateway.send_raw(frames);
    std::string seen, seen_of_first;
    while (seen.size() < expected.size())
        seen += client.client.read_text() + " ";
    while (seen_of_first.size() < expected_of_first.size())
        seen_of_first += single.read_text() + " ";
    EXPECT_EQ(seen, expected);
    EXPECT_EQ(seen_of_first, expected_of_first);
}

TEST(Multiplexed, a_subscription_is_asked_of_the_hub_and_answered) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.say(
        R"({"action":"subscribe","topic":"order","params":["4/2","ä"],"since":"17-3","ref":1})");
    auto subscribe = gateway.expect<Subscribe>();
    EXPECT_EQ(subscribe.client, client.connected.client);
    EXPECT_EQ(subscribe.topic, "order");
    EXPECT_EQ(subscribe.params, (std::vector<std::string>{"4/2", "ä"}));
    EXPECT_EQ(subscribe.since, "17-3");
    gateway.send(Subscribed{subscribe.subscription, 5, TopicKind::event, false, true});
    gateway.send(Replayed{subscribe.subscription, "what it missed", "17-4"});
    gateway.send(Message{5, Audience::live, "and on", "17-5"});
    Answer subscribed = client.answer();
    EXPECT_EQ(subscribed.type, "rtd_subscribed");
    EXPECT_EQ(subscribed.topic, "order");
    EXPECT_NE(subscribed.text.find(R"("params":["4/2","ä"])"), std::string::npos);
    EXPECT_EQ(subscribed.data, R"({"recovered":true,"ref":1})");
    EXPECT_EQ(client.client.read_text(), "what it missed");
    EXPECT_EQ(client.client.read_text(), "and on");
}

TEST(Multiplexed, a_subscription_has_the_parameters_that_the_hub_says) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    auto say = [&](const char *action, const char *param) {
        client.say(std::string(R"({"action":")") + action + R"(","topic":"order","params":[")" +
                   param + R"("],"ref":1})");
    };
    auto admit = [&] {
        auto subscribe = gateway.expect<Subscribe>();
        gateway.send(
            Subscribed{subscribe.subscription, 5, TopicKind::event, false, false, false, {"42"}});
    };
    say("subscribe", "042");
    admit();
    Answer subscribed = client.answer();
    EXPECT_NE(subscribed.text.find(R"("params":["42"])"), std::string::npos);
    EXPECT_EQ(subscribed.data, R"({"recovered":false,"asked":["042"],"ref":1})");

    // Neither spelling is asked of the hub again; a third is, and given back.
    for (const char *param : {"042", "42"}) {
        say("subscribe", param);
        EXPECT_EQ(client.answer().type, "rtd_error");
    }
    say("subscribe", "+42");
    admit();
    EXPECT_EQ(client.answer().type, "rtd_error");
    gateway.expect<Unsubscribe>();

    say("unsubscribe", "042");
    Answer gone = client.answer();
    EXPECT_EQ(gone.type, "rtd_unsubscribed");
    EXPECT_NE(gone.text.find(R"("params":["42"])"), std::string::npos);
    gateway.expect<Unsubscribe>();
}

TEST(Multiplexed, many_instances_share_a_connection_and_each_gets_its_own) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    std::vector<uint64_t> subscriptions;
    for (int i = 0; i < 50; i++)
        subscriptions.push_back(client.subscribe("topic-" + std::to_string(i), 100 + i));
    for (int i = 49; i >= 0; i--)
        gateway.send(Message{100u + i, Audience::live, "for " + std::to_string(i), "1-1"});
    for (int i = 49; i >= 0; i--)
        EXPECT_EQ(client.client.read_text(), "for " + std::to_string(i));

    Answer left = client.ask(R"({"action":"unsubscribe","topic":"topic-7","ref":"bye"})");
    EXPECT_EQ(left.type, "rtd_unsubscribed");
    EXPECT_EQ(left.topic, "topic-7");
    EXPECT_EQ(left.data, R"({"ref":"bye"})");
    EXPECT_EQ(gateway.expect<Unsubscribe>().subscription, subscriptions[7]);
    gateway.send(Message{107, Audience::live, "too late", "1-2"});
    gateway.send(Message{108, Audience::live, "in time", "1-2"});
    EXPECT_EQ(client.client.read_text(), "in time");
    client.subscribe("topic-7", 107);
    gateway.send(Message{107, Audience::live, "again", "1-3"});
    EXPECT_EQ(client.client.read_text(), "again");

    client.client.vanish();
    for (int i = 0; i < 50; i++)
        gateway.expect<Unsubscribe>();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().client, client.connected.client);
}

TEST(Multiplexed, a_request_that_cannot_be_done_is_an_error_and_the_connection_goes_on) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.subscribe("queue", 1);
    const std::pair<std::string_view, std::string_view> kMistakes[] = {
        {"hello", "not a JSON object"},
        {"", "not a JSON object"},
        {"[1]", "not a JSON object"},
        {R"({"action":"dance","ref":7})", "must be"},
        {R"({"action":"subscribe"})", "is missing"},
        {R"({"action":"subscribe","topic":"Queue"})", "topic name"},
        {R"({"action":"subscribe","topic":"a","params":[1]})", "array of strings"},
        {R"({"action":"subscribe","topic":"a","since":"x"})", "since must be"},
        {R"({"action":"subscribe","topic":"queue"})", "subscribed already"},
        {R"({"action":"unsubscribe","topic":"queue","params":["1"]})", "not subscribed"},
        {R"({"action":"publish","topic":"queue"})", "is missing"},
        {R"({"action":"ping","ref":{}})", "string or an integer"},
    };
    for (const auto &[text, sentence] : kMistakes) {
        Answer error = client.ask(text);
        EXPECT_EQ(error.type, "rtd_error") << text;
        EXPECT_EQ(error.code, 4400) << text;
        EXPECT_NE(error.data.find(sentence), std::string::npos) << text << error.data;
    }
    EXPECT_NE(client.ask(R"({"action":"dance","ref":7})").data.find(R"("ref":7)"),
              std::string::npos);
    gateway.send(Message{1, Audience::live, "still here", "1-1"});
    EXPECT_EQ(client.client.read_text(), "still here");
}

TEST(Multiplexed, what_the_hub_refuses_is_an_error_of_that_request_alone) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.say(R"({"action":"subscribe","topic":"secret","ref":"r"})");
    auto subscribe = gateway.expect<Subscribe>();
    gateway.send(Ended{subscribe.subscription, CloseCode::forbidden, "you may not"});
    Answer error = client.answer();
    EXPECT_EQ(error.type, "rtd_error");
    EXPECT_EQ(error.topic, "secret");
    EXPECT_EQ(error.data, R"({"code":4403,"message":"you may not","ref":"r"})");
    client.subscribe("secret", 1); // it may be asked for again
}

TEST(Multiplexed, a_subscription_that_ends_later_takes_no_other_along) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    uint64_t dropped = client.subscribe("dropped", 1);
    client.subscribe("kept", 2);
    gateway.send(Ended{dropped, CloseCode::topic_dropped, "it was dropped"});
    gateway.send(Message{1, Audience::live, "nobody", "1-1"});
    gateway.send(Message{2, Audience::live, "on and on", "2-1"});
    Answer ended = client.answer();
    EXPECT_EQ(ended.type, "rtd_unsubscribed");
    EXPECT_EQ(ended.topic, "dropped");
    EXPECT_EQ(ended.data, R"({"code":4410,"message":"it was dropped"})");
    EXPECT_EQ(client.client.read_text(), "on and on");
}

TEST(Multiplexed, an_answer_of_the_hub_to_what_was_unsubscribed_meanwhile_is_ignored) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.say(R"({"action":"subscribe","topic":"queue"})");
    auto first = gateway.expect<Subscribe>();
    EXPECT_EQ(client.ask(R"({"action":"unsubscribe","topic":"queue"})").type, "rtd_unsubscribed");
    EXPECT_EQ(gateway.expect<Unsubscribe>().subscription, first.subscription);
    gateway.send(Subscribed{first.subscription, 1, TopicKind::event, false, false});
    gateway.send(Message{1, Audience::live, "nobody", "1-1"});
    client.expect_alive();
}

TEST(Multiplexed, only_so_many_subscriptions_are_given_to_a_client) {
    Settings settings = local_settings();
    settings.max_subscriptions_per_client = 2;
    GatewayProcess gateway(settings);
    Multiplexed client(gateway);
    client.subscribe("one", 1);
    client.subscribe("two", 2);
    Answer error = client.ask(R"({"action":"subscribe","topic":"three"})");
    EXPECT_EQ(error.type, "rtd_error");
    EXPECT_EQ(error.code, 4503);
    EXPECT_EQ(client.ask(R"({"action":"unsubscribe","topic":"one"})").type, "rtd_unsubscribed");
    gateway.expect<Unsubscribe>();
    client.subscribe("three", 3);
}

TEST(Multiplexed, too_many_messages_are_refused_and_a_flood_is_closed) {
    Settings settings = local_settings();
    settings.client_message_rate = 10;
    GatewayProcess gateway(settings);
    Multiplexed client(gateway);
    std::string flood;
    for (int i = 0; i < 100; i++)
        flood += Client::make_frame(kText, R"({"action":"ping","ref":1})", true, true);
    client.client.send(flood);
    int pongs = 0, errors = 0;
    for (std::string text; !(text = client.client.read_text()).empty();) {
        Answer answer(text);
        (answer.type == "rtd_pong" ? pongs : errors)++;
        EXPECT_TRUE(answer.type == "rtd_pong" || answer.code == 4503) << text;
        EXPECT_NE(answer.data.find(R"("ref":1)"), std::string::npos);
    }
    EXPECT_EQ(client.client.last.close_code(), 4503);
    EXPECT_GE(pongs, 40);
    EXPECT_LT(pongs, 50);
    EXPECT_GE(errors, 9);
    EXPECT_LT(errors, 30);
}

TEST(Multiplexed, what_is_no_text_or_too_large_or_not_UTF_8_closes_the_connection) {
    Settings settings = local_settings();
    settings.max_client_message_bytes = 1000;
    GatewayProcess gateway(settings);
    auto code_after = [&](int opcode, std::string_view payload) {
        Multiplexed client(gateway);
        client.client.send_frame(opcode, payload);
        uint16_t code = client.client.read_close().close_code();
        client.client.vanish();
        EXPECT_EQ(gateway.expect<ClientDisconnected>().code, code);
        return code;
    };
    EXPECT_EQ(code_after(kBinary, R"({"action":"ping"})"), 1003);
    EXPECT_EQ(code_after(kText, std::string(1001, ' ')), 1009);
    EXPECT_EQ(code_after(kText, "{\"action\":\"\xff\"}"), 1007);
}

TEST(Multiplexed, a_message_in_fragments_is_put_together) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.client.send_frame(kText, R"({"action":"pi)", false);
    client.client.send_frame(kPing, "between");
    client.client.send_frame(kContinuation, "", false);
    client.client.send_frame(kContinuation, R"(ng","ref":5})");
    EXPECT_EQ(client.answer().data, R"({"ref":5})");
    std::string padded = R"({"action":"ping","ref":6)" + std::string(30000, ' ') + "}";
    EXPECT_EQ(client.ask(padded).data, R"({"ref":6})");
    client.expect_alive();
    EXPECT_EQ(client.client.pongs, 1);
}

TEST(Multiplexed, what_a_client_publishes_goes_to_the_hub_as_it_was_written) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.say(R"({"action":"publish","topic":"chat","params":["1"],"type":"said",)"
               R"("data": {"n":1.10,"m":12345678901234567890} ,"ref":"p"})");
    auto publish = gateway.expect<Publish>();
    EXPECT_EQ(publish.client, client.connected.client);
    EXPECT_EQ(publish.topic, "chat");
    EXPECT_EQ(publish.params, std::vector<std::string>{"1"});
    EXPECT_EQ(publish.data, R"({"n":1.10,"m":12345678901234567890})");
    EXPECT_EQ(publish.type, "said");
    client.say(R"({"action":"publish","topic":"secret","data":null,"ref":"q"})");
    auto second = gateway.expect<Publish>();
    EXPECT_NE(second.request, publish.request);
    gateway.send(Published{second.client, second.request, 0, true, CloseCode::forbidden, "no"});
    gateway.send(Published{publish.client, publish.request, 7, false, {}, ""});
    gateway.send(Published{publish.client, publish.request, 8, false, {}, ""}); // answered before
    gateway.send(Published{publish.client + 9, 1, 8, false, {}, ""});           // long gone
    Answer refused = client.answer();
    EXPECT_EQ(refused.type, "rtd_error");
    EXPECT_EQ(refused.topic, "secret");
    EXPECT_EQ(refused.data, R"({"code":4403,"message":"no","ref":"q"})");
    Answer done = client.answer();
    EXPECT_EQ(done.type, "rtd_published");
    EXPECT_EQ(done.data, R"({"subscribers":7,"ref":"p"})");
    client.expect_alive();
}

TEST(Multiplexed, only_so_many_messages_of_a_client_wait_to_be_published) {
    Settings settings = local_settings();
    settings.client_message_rate = 0;
    GatewayProcess gateway(settings);
    Multiplexed client(gateway);
    constexpr int kWaiting = 100;
    for (int i = 0; i < kWaiting; i++)
        client.say(R"({"action":"publish","topic":"chat","data":1})");
    uint64_t first = gateway.expect<Publish>().request;
    for (int i = 1; i < kWaiting; i++)
        gateway.expect<Publish>();
    EXPECT_EQ(client.ask(R"({"action":"publish","topic":"chat","data":1})").code, 4503);
    gateway.send(Published{client.connected.client, first, 0, false, {}, ""});
    EXPECT_EQ(client.answer().type, "rtd_published");
    client.say(R"({"action":"publish","topic":"chat","data":2})");
    EXPECT_EQ(gateway.expect<Publish>().data, "2");
}

TEST(Multiplexed, control_messages_of_the_hub_reach_those_who_take_them) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.subscribe("queue", 1, TopicKind::state);
    Multiplexed newcomer(gateway);
    newcomer.subscribe("queue", 1, TopicKind::state, true);
    Client plain(gateway.port);
    ASSERT_EQ(plain.upgrade("/ws/queue"), 101);
    gateway.expect<ClientConnected>();
    gateway.send(
        Subscribed{gateway.expect<Subscribe>().subscription, 1, TopicKind::state, false, false});
    gateway.send(Control{1, R"({"type":"rtd_error"})"});
    gateway.send(Control{9, "nobody"});
    gateway.send(Message{1, Audience::waiting, "at last", "1-1"});
    gateway.send(Message{1, Audience::live, "and then", "1-2"});
    EXPECT_EQ(client.client.read_text(), R"({"type":"rtd_error"})");
    EXPECT_EQ(client.client.read_text(), "and then");
    EXPECT_EQ(plain.read_text(), "and then");
    EXPECT_EQ(newcomer.client.read_text(), "at last") << "it has nothing yet that could be stale";
    EXPECT_EQ(newcomer.client.read_text(), "and then");
}

TEST(Multiplexed, a_subscription_that_ends_before_its_first_message_refuses_its_request) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.say(R"({"action":"subscribe","topic":"queue","ref":7})");
    uint64_t subscription = gateway.expect<Subscribe>().subscription;
    gateway.send(Subscribed{subscription, 1, TopicKind::state, true, false});
    gateway.send(Ended{subscription, CloseCode::unavailable, "the query failed"});
    EXPECT_EQ(client.answer().type, "rtd_subscribed");
    Answer error = client.answer();
    EXPECT_EQ(error.type, "rtd_error");
    EXPECT_EQ(error.data, R"({"code":4500,"message":"the query failed","ref":7})");
    Answer end = client.answer();
    EXPECT_EQ(end.type, "rtd_unsubscribed");
    EXPECT_EQ(end.data, R"({"code":4500,"message":"the query failed"})");
    client.subscribe("queue", 1, TopicKind::state); // again
    client.expect_alive();
}

TEST(Multiplexed, those_who_take_no_control_messages_are_closed_instead_of_told) {
    GatewayProcess gateway(local_settings());
    Multiplexed told(gateway);
    told.subscribe("queue", 1, TopicKind::state);
    std::vector<std::unique_ptr<Client>> untold;
    auto connect = [&](uint64_t instance, bool awaits_first) {
        untold.push_back(std::make_unique<Client>(gateway.port));
        EXPECT_EQ(untold.back()->upgrade("/ws/queue"), 101);
        gateway.expect<ClientConnected>();
        gateway.send(Subscribed{gateway.expect<Subscribe>().subscription, instance,
                                TopicKind::state, awaits_first, false});
    };
    connect(1, false);
    connect(1, false);
    connect(1, true);
    connect(2, false);
    gateway.send(Message{1, Audience::live, "1", "1-1"});
    gateway.send(EndUntold{1, CloseCode::unavailable, "the query failed"});
    gateway.send(EndUntold{9, CloseCode::unavailable, "nobody"});
    for (size_t i : {0, 1}) {
        EXPECT_EQ(untold[i]->read_text(), "1") << "what was sent before comes before";
        EXPECT_EQ(untold[i]->read_text(), "");
        EXPECT_EQ(untold[i]->last.close_code(), 4500);
        EXPECT_EQ(untold[i]->last.close_reason(), "the query failed");
        gateway.expect<Unsubscribe>();
    }
    gateway.send(Message{1, Audience::waiting, "2", "1-2"});
    gateway.send(Message{2, Audience::live, "3", "2-1"});
    EXPECT_EQ(untold[2]->read_text(), "2") << "it waits, and is not stale";
    EXPECT_EQ(untold[3]->read_text(), "3") << "of another instance";
    EXPECT_EQ(told.client.read_text(), "1");
    told.expect_alive();
}

TEST(Multiplexed, a_client_that_does_not_read_keeps_the_newest_of_each_state) {
    Settings settings = local_settings();
    settings.client_buffer_bytes = 200000;
    GatewayProcess gateway(settings);
    Multiplexed client(gateway, 4096);
    client.subscribe("a", 1, TopicKind::state);
    client.subscribe("b", 2, TopicKind::state);
    constexpr int kMessages = 300;
    for (int i = 0; i < kMessages; i++)
        for (uint64_t instance : {1, 2})
            gateway.send(Message{instance, Audience::live,
                                 std::to_string(instance) + ":" + std::to_string(i) + ":" +
                                     std::string(50000, 'x'),
                                 "1-1"});
    int last[3] = {-1, -1, -1}, received = 0;
    while (last[1] < kMessages - 1 || last[2] < kMessages - 1) {
        std::string text = client.client.read_text();
        ASSERT_GT(text.size(), 50000u);
        int instance = text[0] - '0', number = std::stoi(text.substr(2));
        ASSERT_GT(number, last[instance]);
        last[instance] = number;
        received++;
    }
    EXPECT_LT(received, kMessages);
    client.expect_alive();
}

// A delta may not be skipped, but a snapshot makes up for all that were.
TEST(Multiplexed, a_client_too_slow_for_a_keyed_topic_gets_a_fresh_snapshot) {
    Settings settings = local_settings();
    settings.client_buffer_bytes = 200000;
    GatewayProcess gateway(settings);
    Multiplexed client(gateway, 4096);
    uint64_t first = client.subscribe("keyed", 1, TopicKind::keyed);
    client.subscribe("other", 2);
    for (int i = 0; i < 300; i++)
        gateway.send(Message{1, Audience::live, "delta" + std::string(50000, 'x'), "1-1"});
    gateway.send(Message{2, Audience::live, "untouched", "2-1"});
    EXPECT_EQ(gateway.expect<Unsubscribe>().subscription, first);
    std::string text;
    int deltas = 0;
    while ((text = client.client.read_text()).starts_with("delta"))
        deltas++;
    EXPECT_EQ(text, "untouched");
    EXPECT_LT(deltas, 300);
    auto again = gateway.expect<Subscribe>(); // once it has read what waited
    EXPECT_EQ(again.topic, "keyed");
    EXPECT_EQ(again.since, "");
    gateway.send(Subscribed{again.subscription, 1, TopicKind::keyed, true, false});
    gateway.send(Message{1, Audience::waiting, "snapshot", "1-2"});
    gateway.send(Message{1, Audience::live, "delta", "1-3"});
    EXPECT_EQ(client.client.read_text(), "snapshot"); // and no second rtd_subscribed
    EXPECT_EQ(client.client.read_text(), "delta");
}

TEST(Multiplexed, a_client_too_slow_for_events_is_closed_with_all_its_subscriptions) {
    Settings settings = local_settings();
    settings.client_buffer_bytes = 200000;
    GatewayProcess gateway(settings);
    Multiplexed slow(gateway, 4096);
    slow.subscribe("events", 1);
    slow.subscribe("state", 2, TopicKind::state);
    Multiplexed other(gateway);
    other.subscribe("state", 2, TopicKind::state);
    for (int i = 0; i < 300; i++)
        gateway.send(Message{1, Audience::live, std::string(50000, 'x'), "1-1"});
    gateway.expect<Unsubscribe>();
    gateway.expect<Unsubscribe>();
    EXPECT_EQ(slow.client.read_close().close_code(), 4501);
    gateway.send(Message{2, Audience::live, "on", "2-1"});
    EXPECT_EQ(other.client.read_text(), "on");
}

// A client that comes back after long may have missed more than may wait for a slow one.
TEST(Multiplexed, what_was_missed_is_sent_whatever_its_size) {
    Settings settings = local_settings();
    settings.client_buffer_bytes = 100000;
    GatewayProcess gateway(settings);
    Multiplexed client(gateway, 4096);
    uint64_t subscription = client.subscribe("events", 1);
    for (int i = 0; i < 200; i++)
        gateway.send(Replayed{subscription, std::to_string(i) + std::string(50000, ':'), "1-1"});
    gateway.send(Message{1, Audience::live, "news", "1-2"});
    for (int i = 0; i < 200; i++)
        ASSERT_EQ(std::stoi(client.client.read_text()), i);
    EXPECT_EQ(client.client.read_text(), "news");
}

TEST(Multiplexed, a_shutdown_closes_the_connection_with_its_code) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    client.subscribe("queue", 1);
    gateway.send(Shutdown{CloseCode::going_away, "bye"});
    EXPECT_EQ(client.client.read_close().close_code(), 1001);
    gateway.expect<Unsubscribe>();
}

} // namespace
} // namespace rtd::test
