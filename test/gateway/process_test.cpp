// The gateway as a process: how it starts, listens, reloads, and goes.
#include "client.h"

namespace rtd::test {
namespace {

using namespace rtd::link;

TEST(Start, needs_a_socket_as_descriptor_3) {
    GatewayProcess gateway("/dev/null");
    EXPECT_EQ(gateway.wait_exit(), 2);
    EXPECT_NE(gateway.log().find("started by the rtd hub"), std::string::npos);
}

TEST(Start, refuses_a_hub_of_another_version) {
    GatewayProcess gateway;
    Settings settings = local_settings();
    settings.version = kVersion + 1;
    gateway.send(settings);
    EXPECT_EQ(gateway.wait_exit(), 2);
    EXPECT_NE(gateway.log().find("version"), std::string::npos);
}

TEST(Start, wants_its_settings_first) {
    GatewayProcess gateway;
    gateway.send(Ping{1});
    EXPECT_EQ(gateway.wait_exit(), 2);
}

TEST(Start, ends_when_the_hub_goes_before_the_settings) {
    GatewayProcess gateway;
    gateway.hang_up();
    EXPECT_EQ(gateway.wait_exit(), 0);
}

TEST(Start, tells_the_hub_when_it_may_not_open_as_many_files_as_it_may_have_clients) {
    Settings settings = local_settings();
    settings.max_clients = 100000000;
    GatewayProcess gateway(settings);
    EXPECT_NE(gateway.expect<Note>().text.find("open files"), std::string::npos);
}

TEST(Start, a_malformed_frame_ends_it_with_a_sentence) {
    GatewayProcess gateway(local_settings());
    gateway.send_raw(std::string_view("\1\0\0\0\x63", 5));
    EXPECT_EQ(gateway.wait_exit(), 1);
    EXPECT_NE(gateway.log().find("malformed link frame"), std::string::npos);
}

TEST(Listen, port_0_is_any_free_port_and_the_same_for_all_addresses) {
    Settings settings = local_settings();
    settings.listen_addresses = " 127.0.0.1 ,127.0.0.2,localhost, 127.0.0.1";
    GatewayProcess gateway(settings);
    ASSERT_GE(gateway.listening.size(), 2u);
    EXPECT_NE(gateway.port, 0);
    std::string suffix = ":" + std::to_string(gateway.port);
    EXPECT_EQ(gateway.listening[0], "127.0.0.1" + suffix);
    EXPECT_EQ(gateway.listening[1], "127.0.0.2" + suffix);
    for (const std::string &address : gateway.listening)
        EXPECT_TRUE(address.ends_with(suffix)) << address;
    EXPECT_TRUE(Client(gateway.port).connected);
}

TEST(Listen, a_star_means_every_address_of_both_families) {
    Settings settings = local_settings();
    settings.listen_addresses = "*";
    GatewayProcess gateway(settings);
    std::string suffix = ":" + std::to_string(gateway.port);
    EXPECT_EQ(gateway.listening[0], "0.0.0.0" + suffix);
    EXPECT_TRUE(gateway.listening.size() == 1 || // a machine may lack IPv6
                gateway.listening[1] == "[::]" + suffix);
    EXPECT_TRUE(Client(gateway.port).connected);
}

TEST(Listen, an_address_that_this_machine_lacks_is_skipped_if_another_binds) {
    Settings settings = local_settings();
    settings.listen_addresses = "192.0.2.1,127.0.0.1";
    GatewayProcess gateway(settings);
    EXPECT_EQ(gateway.listening.size(), 1u);
}

TEST(Listen, a_single_address_that_this_machine_lacks_is_an_error) {
    Settings settings = local_settings();
    settings.listen_addresses = "192.0.2.1";
    settings.port = 8787;
    GatewayProcess gateway;
    gateway.send(settings);
    auto failed = gateway.expect<ListenFailed>();
    EXPECT_EQ(failed.address, "192.0.2.1:8787");
    EXPECT_EQ(failed.error, "Cannot assign requested address");
    EXPECT_EQ(gateway.wait_exit(), 1);
}

TEST(Listen, a_port_in_use_is_an_error_that_names_it) {
    GatewayProcess first(local_settings());
    Settings settings = local_settings();
    settings.port = first.port;
    GatewayProcess second;
    second.send(settings);
    auto failed = second.expect<ListenFailed>();
    EXPECT_EQ(failed.address, "127.0.0.1:" + std::to_string(first.port));
    EXPECT_EQ(failed.error, "Address already in use");
    second.hang_up(); // as a hub may do at once; the exit status stays what it was
    EXPECT_EQ(second.wait_exit(), 1);
    EXPECT_TRUE(Client(first.port).connected);
}

Settings sharing(PortUse use, uint16_t port = 0) {
    Settings settings = local_settings();
    settings.port_use = use;
    settings.port = port;
    return settings;
}

void expect_port_taken(const Settings &settings) {
    GatewayProcess gateway;
    gateway.send(settings);
    EXPECT_EQ(gateway.expect<ListenFailed>().error, "Address already in use");
    EXPECT_EQ(gateway.wait_exit(), 1);
}

TEST(Share, gateways_share_a_port_and_each_gets_clients) {
    GatewayProcess first(sharing(PortUse::first));
    GatewayProcess second(sharing(PortUse::joined, first.port));
    EXPECT_EQ(second.listening, first.listening);
    std::vector<Client> clients;
    bool has_first = false, has_second = false;
    // The kernel chooses by the client's port: of so many, both get some.
    for (int i = 0; i < 200 && !(has_first && has_second); i++) {
        clients.emplace_back(first.port);
        ASSERT_EQ(clients.back().upgrade("/ws/queue"), 101);
        auto is_new = [&](GatewayProcess &gateway) {
            bool connected = false;
            while (auto frame = gateway.poll_frame())
                connected = connected || std::holds_alternative<ClientConnected>(*frame);
            return connected;
        };
        EXPECT_TRUE(eventually([&] {
            bool at_first = is_new(first), at_second = is_new(second);
            has_first = has_first || at_first;
            has_second = has_second || at_second;
            return at_first || at_second;
        }));
    }
    EXPECT_TRUE(has_first && has_second);
}

TEST(Share, a_gateway_takes_over_the_whole_port_when_the_other_dies) {
    GatewayProcess first(sharing(PortUse::first));
    GatewayProcess second(sharing(PortUse::joined, first.port));
    first.signal(SIGKILL);
    EXPECT_EQ(first.wait_exit(), 256 + SIGKILL);
    for (int i = 0; i < 20; i++)
        EXPECT_NE(Client(second.port).request("GET", "/healthz").find("200 OK"), std::string::npos);
    GatewayProcess third(sharing(PortUse::joined, second.port));
    EXPECT_EQ(third.listening, second.listening);
}

TEST(Share, the_first_gateway_does_not_share_a_port_that_somebody_has) {
    GatewayProcess alone(local_settings());
    expect_port_taken(sharing(PortUse::first, alone.port));
    expect_port_taken(sharing(PortUse::joined, alone.port)); // nor does that one share its own
    // Not even with one that would share: another server's gateways, of the same user.
    GatewayProcess other(sharing(PortUse::first));
    expect_port_taken(sharing(PortUse::first, other.port));
    expect_port_taken(sharing(PortUse::alone, other.port));
}

TEST(Listen, no_address_at_all_is_an_error) {
    Settings settings = local_settings();
    settings.listen_addresses = " , ";
    GatewayProcess gateway;
    gateway.send(settings);
    EXPECT_NE(gateway.expect<ListenFailed>().error, "");
    EXPECT_EQ(gateway.wait_exit(), 1);
}

TEST(Reload, new_limits_count_from_then_on) {
    Settings settings = local_settings();
    GatewayProcess gateway(settings);
    settings.max_clients = 0;
    settings.port = 0;
    gateway.send(settings);
    gateway.send(Ping{7}); // frames are handled in order
    EXPECT_EQ(gateway.expect<Pong>().probe, 7u);
    EXPECT_EQ(Client(gateway.port).upgrade("/ws/queue"), 503);
}

TEST(End, a_shutdown_reaches_every_client_as_a_close_frame) {
    GatewayProcess gateway(local_settings());
    Client one(gateway.port), two(gateway.port);
    ASSERT_EQ(one.upgrade("/ws/queue"), 101);
    ASSERT_EQ(two.upgrade("/ws/queue"), 101);
    gateway.send(Shutdown{CloseCode::going_away, "the server restarts"});
    for (Client *client : {&one, &two}) {
        Frame close = client->read_close();
        EXPECT_EQ(close.opcode, kClose);
        EXPECT_EQ(close.close_code(), 1001);
        EXPECT_EQ(close.close_reason(), "the server restarts");
        client->send_frame(kClose, close.payload);
        EXPECT_TRUE(client->is_closed());
    }
    EXPECT_EQ(gateway.wait_exit(), 0);
}

TEST(End, a_shutdown_does_not_wait_long_for_a_client_that_does_not_answer) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    auto before = Clock::now();
    gateway.send(Shutdown{CloseCode::going_away, "bye"});
    EXPECT_EQ(gateway.wait_exit(), 0);
    EXPECT_LT(Clock::now() - before, std::chrono::seconds(4));
    EXPECT_EQ(client.read_close().close_reason(), "bye");
}

TEST(End, the_end_of_the_hub_is_the_end_of_the_gateway) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    gateway.hang_up();
    EXPECT_EQ(client.read_close().close_code(), 1001);
    client.vanish();
    EXPECT_EQ(gateway.wait_exit(), 0);
}

TEST(End, SIGTERM_is_a_shutdown_and_SIGINT_and_SIGHUP_are_nothing) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    gateway.signal(SIGINT);
    gateway.signal(SIGHUP);
    EXPECT_NE(Client(gateway.port).request("GET", "/healthz").find("200 OK"), std::string::npos);
    EXPECT_TRUE(gateway.is_alive());
    gateway.signal(SIGTERM);
    EXPECT_EQ(client.read_close().close_code(), 1001);
    client.vanish();
    EXPECT_EQ(gateway.wait_exit(), 0);
}

} // namespace
} // namespace rtd::test
