// Who may connect: limits per address, the rate of new connections, slow and silent requests, and
// what is answered and logged. Everything goes over the wire.
#include "client.h"

#include <algorithm>
#include <sys/resource.h>

namespace rtd::test {
namespace {

using namespace rtd::link;

constexpr const char *kOther = "127.0.0.2";

bool contains(const std::string &text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::unique_ptr<Client> from(const GatewayProcess &gateway, const char *address) {
    return std::make_unique<Client>(gateway.port, 0, address);
}

// Its request begins, and goes no further. The kernel hands a client that says nothing at all on
// only after a second.
std::unique_ptr<Client> slow_from(const GatewayProcess &gateway, const char *address) {
    auto client = from(gateway, address);
    client->send("G");
    return client;
}

// The next note, whatever else the gateway has to say before it. It may be due in ten seconds.
std::string next_note(GatewayProcess &gateway) {
    std::optional<GatewayFrame> frame;
    auto deadline = Clock::now() + 2 * kPatience;
    do {
        while ((frame = gateway.poll_frame()))
            if (auto *note = std::get_if<Note>(&*frame))
                return note->text;
        poll(nullptr, 0, 5);
    } while (Clock::now() < deadline);
    return "";
}

bool has_ended(const Client &client) {
    char byte;
    ssize_t size = recv(client.fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return size == 0 || (size < 0 && errno != EAGAIN);
}

TEST(PerAddress, connections_of_every_kind_count_and_one_too_many_is_429) {
    Settings settings = local_settings();
    settings.max_clients_per_address = 3;
    GatewayProcess gateway(settings);
    Client silent(gateway.port), socket(gateway.port), stream(gateway.port);
    ASSERT_EQ(socket.upgrade("/ws/queue"), 101);
    stream.send("GET /sse/queue HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return Client(gateway.port).upgrade("/ws") == 429; }));

    std::string answer =
        Client(gateway.port).request("GET", "/sse/queue", "Origin: http://localhost\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n")) << answer;
    EXPECT_TRUE(contains(answer, "Retry-After: 1\r\n"));
    EXPECT_TRUE(contains(answer, "Content-Type: application/json\r\n"));
    EXPECT_TRUE(contains(answer, "Access-Control-Allow-Origin: http://localhost\r\n")) << answer;
    EXPECT_TRUE(
        answer.ends_with("{\"error\":\"your address has as many connections as it may have\"}\n"));
    EXPECT_EQ(Client(gateway.port).upgrade("/ws"), 429);
    EXPECT_EQ(Client(gateway.port).upgrade("/ws/queue"), 429);

    EXPECT_EQ(from(gateway, kOther)->upgrade("/ws/queue"), 101) << "another address";
    EXPECT_TRUE(contains(Client(gateway.port).request("GET", "/healthz"), " 200 OK"))
        << "a probe is no client";
    silent.vanish();
    EXPECT_TRUE(eventually([&] { return Client(gateway.port).upgrade("/ws/queue") == 101; }));
}

TEST(PerAddress, a_new_limit_counts_from_then_on_and_nobody_is_sent_away) {
    Settings settings = local_settings();
    GatewayProcess gateway(settings);
    Client one(gateway.port), two(gateway.port);
    ASSERT_EQ(one.upgrade("/ws"), 101);
    ASSERT_EQ(two.upgrade("/ws"), 101);
    settings.max_clients_per_address = 1;
    gateway.send(settings);
    EXPECT_TRUE(eventually([&] { return Client(gateway.port).upgrade("/ws") == 429; }));
    for (Client *client : {&one, &two}) {
        client->send_frame(kText, R"({"action":"ping"})");
        EXPECT_TRUE(contains(client->read_text(), "rtd_pong"));
    }
}

TEST(PerAddress, who_opens_more_than_can_be_answered_is_closed_and_others_do_not_notice) {
    Settings settings = local_settings();
    settings.max_clients_per_address = 1;
    GatewayProcess gateway(settings);
    std::vector<std::unique_ptr<Client>> greedy;
    for (int i = 0; i < 200; i++)
        greedy.push_back(slow_from(gateway, kOther));
    // The last ones get their answer unasked.
    EXPECT_EQ(greedy.back()->read_head(), 429);
    EXPECT_TRUE(contains(greedy.back()->read_to_end(), "as many connections as it may have"));
    EXPECT_EQ(Client(gateway.port).upgrade("/ws/queue"), 101);
    size_t ended = 0;
    EXPECT_TRUE(eventually([&] {
        ended = static_cast<size_t>(std::count_if(greedy.begin(), greedy.end(), [](auto &client) {
            client->skim();
            return has_ended(*client);
        }));
        return ended >= 150;
    })) << ended;
    EXPECT_FALSE(has_ended(*greedy.front()));
}

TEST(Rate, a_burst_is_admitted_more_is_429_and_the_promise_of_Retry_After_is_kept) {
    Settings settings = local_settings();
    settings.connection_rate = 1;
    GatewayProcess gateway(settings);
    auto begin = Clock::now();
    int admitted = 0, status = 101;
    for (; status == 101; admitted += status == 101)
        status = Client(gateway.port).upgrade("/ws/queue");
    auto earned = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count();
    EXPECT_GE(admitted, 10);
    EXPECT_LE(admitted, 11 + earned);
    EXPECT_EQ(status, 429);

    Client refused(gateway.port);
    status = refused.upgrade("/ws/queue");
    if (status == 429) { // or a slow machine took a second to ask
        size_t at = refused.head.find("Retry-After: ");
        ASSERT_NE(at, std::string::npos) << refused.head;
        EXPECT_EQ(refused.read_to_end(),
                  "{\"error\":\"your address opens connections faster than it may\"}\n");
        auto promised =
            Clock::now() + std::chrono::seconds(std::stoi(refused.head.substr(at + 13)));
        EXPECT_EQ(from(gateway, kOther)->upgrade("/ws/queue"), 101) << "another address";
        do { // an impatient client does not hurt itself
            poll(nullptr, 0, 50);
            status = Client(gateway.port).upgrade("/ws/queue");
        } while (status != 101 && Clock::now() < promised);
        if (status != 101)
            status = Client(gateway.port).upgrade("/ws/queue");
    }
    EXPECT_EQ(status, 101);
}

TEST(Refusals, are_a_line_in_the_log_for_all_of_ten_seconds) {
    Settings settings = local_settings();
    settings.max_clients_per_address = 1;
    GatewayProcess gateway(settings);
    Client client(gateway.port);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    for (int i = 0; i < 50; i++)
        ASSERT_EQ(Client(gateway.port).upgrade("/ws/queue"), 429);
    EXPECT_EQ(next_note(gateway), "refused 50 connections within 10 s because of "
                                  "rtd.max_clients_per_address: 50 from 127.0.0.1");
    settings.max_clients = 1;
    gateway.send(settings);
    EXPECT_TRUE(eventually([&] { return from(gateway, kOther)->upgrade("/ws/queue") == 503; }));
    gateway.send(Shutdown{CloseCode::going_away, "what is not told yet is told at the end"});
    EXPECT_EQ(next_note(gateway),
              "refused 1 connection within 10 s because of rtd.max_clients: 1 from 127.0.0.2");
}

TEST(SlowRequests, are_dropped_after_the_deadline_while_others_go_on) {
    GatewayProcess gateway(local_settings());
    Client silent(gateway.port), dripping(gateway.port), half(gateway.port);
    std::string head = Client::upgrade_head("/ws/queue", "X: " + std::string(10000, 'x') + "\r\n");
    half.send(head.substr(0, 100));
    auto begin = Clock::now();
    size_t sent = 0;
    EXPECT_TRUE(eventually([&] {
        EXPECT_EQ(Client(gateway.port).upgrade("/ws/queue"), 101);
        dripping.send(head.substr(sent++, 1));
        return has_ended(dripping);
    }));
    EXPECT_GT(Clock::now() - begin, std::chrono::seconds(4));
    EXPECT_TRUE(silent.is_closed());
    EXPECT_TRUE(half.is_closed());
}

TEST(SlowRequests, of_one_address_do_not_lock_others_out) {
    constexpr size_t kMaxUnderWay = 4096;
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    ASSERT_GT(files.rlim_max, kMaxUnderWay + 100) << "this test needs as many descriptors";
    files.rlim_cur = files.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    GatewayProcess gateway(local_settings());
    std::vector<std::unique_ptr<Client>> slow;
    for (size_t i = 0; i < kMaxUnderWay; i++)
        slow.push_back(slow_from(gateway, "127.0.0.1"));

    Client greedy(gateway.port);
    EXPECT_EQ(greedy.upgrade("/ws/queue"), 503) << "it takes no other's place";
    EXPECT_TRUE(contains(greedy.head, "Retry-After: 1\r\n"));
    EXPECT_TRUE(contains(greedy.read_to_end(), "reading as many requests as it may"));
    EXPECT_EQ(from(gateway, kOther)->upgrade("/ws/queue"), 101) << "it takes the oldest's place";
    EXPECT_EQ(slow[0]->read_head(), 503);
    EXPECT_TRUE(slow[0]->is_closed());
    EXPECT_FALSE(has_ended(*slow[1]));

    gateway.send(Shutdown{CloseCode::going_away, "bye"});
    EXPECT_EQ(next_note(gateway), "refused 2 connections within 10 s because of 4096 requests "
                                  "under way: 2 from 127.0.0.1");
}

} // namespace
} // namespace rtd::test
