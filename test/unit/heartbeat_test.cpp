#include "gateway/websocket/heartbeat.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

std::string answer(std::string_view text) {
    std::optional<Heartbeat> heartbeat = parse_heartbeat(text);
    return heartbeat ? heartbeat->answer : "no heartbeat";
}

TEST(Heartbeat, a_word_is_answered_with_a_word_of_the_same_kind) {
    EXPECT_EQ(answer("ping"), "pong");
    EXPECT_EQ(answer("PING"), "PONG");
    EXPECT_EQ(answer("\r\n Ping\t"), "pong");
    EXPECT_EQ(answer("heartbeat"), "pong");
    EXPECT_EQ(answer("HEARTBEAT"), "PONG");
    EXPECT_EQ(answer("\"ping\""), "\"pong\"");
    EXPECT_EQ(answer("\"PING\""), "\"PONG\"");
}

TEST(Heartbeat, an_object_says_in_one_of_its_members_that_it_is_one) {
    for (std::string_view text :
         {R"({"action":"ping"})", R"({"type":"ping"})", R"({"event":"Heartbeat"})",
          R"({"op":"ping","x":[1,{}]})", R"({"cmd":"ping"})", R"({"method":"PING"})",
          R"( {"type":"\u0070ing"} )"})
        EXPECT_EQ(answer(text), "") << text;
    EXPECT_EQ(parse_heartbeat(R"({"type":"ping","ref":"a\"b"})")->ref, R"("a\"b")");
    EXPECT_EQ(parse_heartbeat(R"({"type":"ping","ref":-12})")->ref, "-12");
    for (std::string_view ref : {"1.5", "null", "[1]", "{}"})
        EXPECT_EQ(parse_heartbeat("{\"type\":\"ping\",\"ref\":" + std::string(ref) + "}")->ref, "");
    EXPECT_EQ(parse_heartbeat("{\"type\":\"ping\",\"ref\":\"" + std::string(300, 'x') + "\"}")->ref,
              "");
}

TEST(Heartbeat, all_else_is_none) {
    for (std::string_view text : {"",
                                  " ",
                                  "pin",
                                  "pings",
                                  "ping!",
                                  "ping ping",
                                  "pong",
                                  "\"",
                                  "\"\"",
                                  "\"ping",
                                  "ping\"",
                                  "{}",
                                  "[]",
                                  "{",
                                  R"({"type":"pong"})",
                                  R"({"data":"ping"})",
                                  R"({"type":["ping"]})",
                                  R"({"type":"ping"}x)",
                                  R"({"type":ping})",
                                  R"(["ping"])",
                                  R"({"a":{"type":"ping"}})"})
        EXPECT_EQ(answer(text), "no heartbeat") << text;
    EXPECT_EQ(answer("ping" + std::string(kMaxHeartbeatBytes - 4, ' ')), "pong");
    EXPECT_EQ(answer("ping" + std::string(kMaxHeartbeatBytes - 3, ' ')), "no heartbeat");
}

} // namespace
} // namespace rtd
