// Who may connect: limits per address, a rate with a burst, places under way, and what is told of
// those who were refused. Time is made up.
#include "gateway/admission/admission.h"
#include "gateway/admission/refusals.h"

#include <algorithm>
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <vector>

namespace rtd::net {
namespace {

using Ticket = Admission::Ticket;

Address address(const std::string &host) {
    Address address;
    auto &v4 = reinterpret_cast<sockaddr_in &>(address.storage);
    auto &v6 = reinterpret_cast<sockaddr_in6 &>(address.storage);
    bool is_v6 = host.find(':') != std::string::npos;
    address.storage.ss_family = is_v6 ? AF_INET6 : AF_INET;
    address.size = is_v6 ? sizeof v6 : sizeof v4;
    void *where = is_v6 ? static_cast<void *>(&v6.sin6_addr) : &v4.sin_addr;
    EXPECT_EQ(inet_pton(address.storage.ss_family, host.c_str(), where), 1) << host;
    address.set_port(4711);
    return address;
}

// The n-th of many addresses that have nothing to do with each other.
Address nth(uint32_t n) {
    Address address;
    address.storage.ss_family = AF_INET;
    address.size = sizeof(sockaddr_in);
    reinterpret_cast<sockaddr_in &>(address.storage).sin_addr.s_addr = htonl(0x0a000000 + n);
    return address;
}

struct Door : Admission {
    explicit Door(uint32_t per_address, uint32_t rate = 0) { set(per_address, rate); }
    void set(uint32_t per_address, uint32_t rate) {
        link::Settings settings;
        settings.max_clients_per_address = per_address;
        settings.connection_rate = rate;
        set_limits(settings);
    }
    // Comes and goes; true if it was admitted.
    bool visit(const Address &who, uint64_t now_ms) {
        Ticket ticket = admit(who, now_ms);
        return !ticket.refusal();
    }
    int visits(const Address &who, uint64_t now_ms, int attempts) {
        int admitted = 0;
        for (int i = 0; i < attempts; i++)
            admitted += visit(who, now_ms);
        return admitted;
    }
};

const Address kOne = address("192.0.2.1"), kTwo = address("192.0.2.2");

TEST(Admission, an_address_has_as_many_connections_as_the_limit_says_and_others_are_not_concerned) {
    Door door(2);
    Ticket a = door.admit(kOne, 0), b = door.admit(kOne, 0);
    EXPECT_FALSE(a.refusal() || b.refusal());
    Ticket c = door.admit(kOne, 0);
    EXPECT_EQ(c.refusal(), Refusal::max_clients_per_address);
    EXPECT_FALSE(c.is_turned_away()) << "it is answered";
    EXPECT_TRUE(door.visit(kTwo, 0));
    a = Ticket();
    EXPECT_TRUE(door.visit(kOne, 0));
}

TEST(Admission, a_connection_counts_until_it_ends_whether_it_became_a_client_or_not) {
    Door door(1);
    Ticket client = door.admit(kOne, 0);
    client.become_client();
    EXPECT_FALSE(door.visit(kOne, 0));
    Ticket moved = std::move(client);
    EXPECT_FALSE(door.visit(kOne, 0)) << "a moved ticket is still one place";
    moved = Ticket();
    EXPECT_TRUE(door.visit(kOne, 0));
}

TEST(Admission, addresses_of_one_IPv6_64_are_one_and_of_two_are_two) {
    Door door(1);
    Ticket first = door.admit(address("2001:db8:1:2::1"), 0);
    EXPECT_FALSE(door.visit(address("2001:db8:1:2:ffff:ffff:ffff:ffff"), 0));
    EXPECT_TRUE(door.visit(address("2001:db8:1:3::1"), 0));
    EXPECT_EQ(Subnet(address("2001:db8:1:2:3:4:5:6")).to_string(), "2001:db8:1:2::/64");
    EXPECT_EQ(Subnet(address("::1")).to_string(), "::/64");
}

TEST(Admission, IPv4_clients_of_a_socket_of_both_families_are_not_all_one) {
    Door door(1);
    Ticket first = door.admit(address("::ffff:192.0.2.1"), 0);
    EXPECT_TRUE(door.visit(address("::ffff:192.0.2.2"), 0));
    EXPECT_FALSE(door.visit(kOne, 0)) << "however it is written";
    EXPECT_EQ(Subnet(address("::ffff:192.0.2.1")).to_string(), "192.0.2.1");
}

TEST(Admission, ten_seconds_worth_may_come_at_once_and_then_as_time_goes_by) {
    Door door(0, 5);
    EXPECT_EQ(door.visits(kOne, 1000, 60), 50);
    EXPECT_EQ(door.admit(kOne, 1000).refusal(), Refusal::connection_rate);
    EXPECT_EQ(door.visits(kOne, 1199, 9), 0);
    EXPECT_EQ(door.visits(kOne, 1200, 9), 1) << "a fifth of a second later";
    EXPECT_EQ(door.visits(kOne, 2200, 9), 5) << "Retry-After: 1 is not too early";
    EXPECT_EQ(door.visits(kTwo, 2200, 60), 50);
    EXPECT_EQ(door.visits(kOne, 3'600'000, 60), 50) << "an hour of silence is no more";
}

TEST(Admission, a_crowd_that_keeps_trying_gets_in_as_fast_as_the_rate) {
    Door door(0, 100);
    int admitted = 0;
    for (uint64_t now_ms = 0; now_ms < 20'000; now_ms++)
        admitted += door.visit(kOne, now_ms); // ten times as fast as it may
    EXPECT_NEAR(admitted, 1000 + 20 * 100, 1) << "refused attempts cost nothing";
}

TEST(Admission, limits_of_zero_are_none_and_new_limits_count_at_once) {
    Door door(0, 0);
    std::vector<Ticket> tickets;
    for (int i = 0; i < 2000; i++)
        tickets.push_back(door.admit(kOne, 0));
    EXPECT_FALSE(tickets.back().refusal());
    door.set(3, 0);
    EXPECT_EQ(door.admit(kOne, 0).refusal(), Refusal::max_clients_per_address);
    door.set(0, 1);
    EXPECT_EQ(door.visits(kOne, 0, 20), 10) << "what came without a rate is not held against it";
    door.set(0, 0);
    EXPECT_EQ(door.visits(kOne, 0, 20), 20);
}

TEST(Admission, an_address_has_few_places_for_refusals_and_beyond_them_is_turned_away) {
    Door door(1);
    Ticket client = door.admit(kOne, 0);
    std::vector<Ticket> refused;
    for (size_t i = 0; i < Admission::kMaxRefusedPerAddress; i++) {
        refused.push_back(door.admit(kOne, 0));
        EXPECT_FALSE(refused.back().is_turned_away());
    }
    Ticket one_more = door.admit(kOne, 0);
    EXPECT_TRUE(one_more.is_turned_away());
    EXPECT_EQ(one_more.refusal(), Refusal::max_clients_per_address);
    refused.pop_back();
    EXPECT_FALSE(door.admit(kOne, 0).is_turned_away());
    client = Ticket();
    EXPECT_TRUE(door.visit(kOne, 0)) << "the refused ones do not count as connections";
}

TEST(Admission, when_too_many_are_under_way_it_is_the_greedy_who_are_turned_away) {
    Door door(0);
    std::vector<Ticket> silent;
    for (size_t i = 0; i < Admission::kMaxUnderWay; i++) {
        silent.push_back(door.admit(kOne, 0));
        ASSERT_FALSE(silent.back().is_turned_away());
    }
    EXPECT_FALSE(door.is_overcrowded());
    Ticket greedy = door.admit(kOne, 0);
    EXPECT_TRUE(greedy.is_turned_away());
    EXPECT_EQ(greedy.refusal(), Refusal::under_way);
    EXPECT_FALSE(door.is_overcrowded());

    Ticket modest = door.admit(kTwo, 0);
    EXPECT_FALSE(modest.refusal());
    EXPECT_TRUE(door.is_overcrowded()) << "somebody has to go";
    silent.erase(silent.begin());
    EXPECT_FALSE(door.is_overcrowded());

    for (Ticket &ticket : silent)
        ticket.become_client();
    EXPECT_FALSE(door.admit(kOne, 0).refusal()) << "clients are not under way";
}

TEST(Admission, a_storm_of_browsers_with_addresses_of_their_own_is_admitted_and_forgotten) {
    Door door(100, 1000);
    std::vector<Ticket> clients;
    for (uint32_t i = 0; i < 10'000; i++) {
        clients.push_back(door.admit(nth(i), 0));
        ASSERT_FALSE(clients.back().refusal());
        clients.back().become_client();
    }
    EXPECT_EQ(door.known_addresses(), 10'000u);
    clients.clear();
    // Nobody is left: whoever comes next makes it look through them, now and then.
    size_t most = 0;
    for (uint32_t i = 0; i < 100'000; i++) {
        EXPECT_TRUE(door.visit(nth(20'000 + i), 1000 + i));
        most = std::max(most, door.known_addresses());
    }
    EXPECT_LE(most, 20'001u);
    EXPECT_LE(door.known_addresses(), 1025u);
}

TEST(Admission, an_address_is_not_forgotten_while_its_burst_is_spent) {
    Door door(0, 10);
    EXPECT_EQ(door.visits(kOne, 0, 200), 100);
    for (uint32_t i = 0; i < 20'000; i++)
        door.visit(nth(i), 10); // many others come and go, and are looked through
    EXPECT_EQ(door.visits(kOne, 10, 5), 0);
}

TEST(Refusals, a_flood_is_one_line_with_the_addresses_it_came_from) {
    Refusals refusals;
    EXPECT_TRUE(refusals.count("rtd.max_clients_per_address", kOne));
    for (int i = 0; i < 199; i++)
        EXPECT_FALSE(refusals.count("rtd.max_clients_per_address", kTwo));
    EXPECT_FALSE(refusals.count(name_of(Refusal::under_way), address("2001:db8::1")));
    EXPECT_EQ(refusals.report(),
              (std::vector<std::string>{
                  "refused 1 connection within 10 s because of 4096 requests under way: 1 from "
                  "2001:db8::/64",
                  "refused 200 connections within 10 s because of rtd.max_clients_per_address: 199 "
                  "from 192.0.2.2, 1 from 192.0.2.1"}));
    EXPECT_TRUE(refusals.report().empty()) << "it is told once";
    EXPECT_TRUE(refusals.count("rtd.connection_rate", kOne)) << "the next burst";
}

TEST(Refusals, a_flood_from_everywhere_names_a_few_addresses_and_sums_up_the_others) {
    Refusals refusals;
    for (uint32_t i = 0; i < 1000; i++)
        refusals.count("rtd.max_clients", nth(i));
    std::vector<std::string> lines = refusals.report();
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(lines[0].starts_with("refused 1000 connections within 10 s because of "
                                     "rtd.max_clients: 1 from 10.0.0.4,"))
        << lines[0];
    EXPECT_TRUE(lines[0].ends_with("1 from 10.0.0.0, 995 from others")) << lines[0];
}

TEST(Refusals, of_ever_more_kinds_share_a_line) {
    Refusals refusals;
    for (int i = 0; i < 1000; i++)
        refusals.count("reason " + std::to_string(i), kOne);
    refusals.count("reason 0", kOne);
    std::vector<std::string> lines = refusals.report();
    EXPECT_EQ(lines.size(), 17u);
    for (std::string_view line : {"refused 984 connections within 10 s because of other reasons: "
                                  "984 from 192.0.2.1",
                                  "refused 2 connections within 10 s because of reason 0: 2 from "
                                  "192.0.2.1"})
        EXPECT_EQ(std::ranges::count(lines, line), 1) << line;
}

TEST(Refusals, of_the_closed_list_always_have_a_line_and_say_the_first_sentence) {
    Refusals refusals;
    for (int i = 0; i < 1000; i++)
        refusals.count("TLS error " + std::to_string(i), kOne);
    using Thing = Refusals::Thing;
    Subnet one{kOne};
    EXPECT_FALSE(refusals.count(Thing::connection, "origin", "pages of x\ny may not", one));
    refusals.count(Thing::connection, "origin", "another", one);
    refusals.count(Thing::subscription, "unknown_topic", std::string(5000, 'x'), one);
    refusals.count(Thing::message, "bad_request", "", one);
    std::vector<std::string> lines = refusals.report();
    EXPECT_EQ(lines.size(), 17u + 3);
    for (const std::string &line :
         {std::string("refused 2 connections within 10 s because of origin: 2 from 192.0.2.1; the "
                      "first: pages of x?y may not"),
          "refused 1 subscription within 10 s because of unknown_topic: 1 from 192.0.2.1: " +
              std::string(Refusals::kMaxSentenceBytes, 'x'),
          std::string("refused 1 message within 10 s because of bad_request: 1 from 192.0.2.1")})
        EXPECT_EQ(std::ranges::count(lines, line), 1) << line;
}

} // namespace
} // namespace rtd::net
