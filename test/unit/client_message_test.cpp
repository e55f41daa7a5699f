#include "gateway/websocket/client_message.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

using Action = ClientMessage::Action;

ClientMessage parsed(std::string_view text) {
    ParsedClientMessage result = parse_client_message(text);
    EXPECT_TRUE(result.message) << text << ": " << result.message.error();
    return result.message ? *result.message : ClientMessage{};
}

std::string problem(std::string_view text) {
    ParsedClientMessage result = parse_client_message(text);
    return result.message ? "no problem" : result.message.error();
}

TEST(ClientMessage, says_what_the_client_wants) {
    ClientMessage subscribe = parsed(
        R"({"action":"subscribe","topic":"order","params":["4/2","\u00e4"],"since":"17-3"})");
    EXPECT_EQ(subscribe.action, Action::subscribe);
    EXPECT_EQ(subscribe.topic, (TopicPath{"order", {"4/2", "\xc3\xa4"}}));
    EXPECT_EQ(subscribe.since, "17-3");
    EXPECT_EQ(parsed(R"({"topic":"queue","action":"unsubscribe"})").action, Action::unsubscribe);
    EXPECT_EQ(parsed(R"({"action":"ping"})").action, Action::ping);
}

TEST(ClientMessage, data_to_publish_keeps_every_digit) {
    ClientMessage publish = parsed(
        R"({"action":"publish","topic":"queue","type":"news","data": {"n": 1.10, "m": 12345678901234567890} })");
    EXPECT_EQ(publish.action, Action::publish);
    EXPECT_EQ(publish.data, R"({"n": 1.10, "m": 12345678901234567890})");
    EXPECT_EQ(publish.type, "news");
    EXPECT_EQ(parsed(R"({"action":"publish","topic":"queue","data":null})").data, "null");
}

TEST(ClientMessage, a_reference_is_kept_as_it_is_even_if_the_rest_is_wrong) {
    EXPECT_EQ(parse_client_message(R"({"action":"ping","ref":"a\"b"})").ref, R"("a\"b")");
    EXPECT_EQ(parse_client_message(R"({"action":"dance","ref":-7})").ref, "-7");
    EXPECT_EQ(parse_client_message(R"({"ref":12345678901234567890})").ref, "12345678901234567890");
    EXPECT_EQ(parse_client_message(R"({"action":"ping"})").ref, "");
    for (std::string_view ref : {"1.5", "null", "true", "[1]", "{}", "1e3"}) {
        std::string text = R"({"action":"ping","ref":)" + std::string(ref) + "}";
        EXPECT_EQ(problem(text), "\"ref\" must be a string or an integer");
    }
    std::string long_ref = R"({"action":"ping","ref":")" + std::string(300, 'x') + "\"}";
    EXPECT_EQ(problem(long_ref), "\"ref\" is longer than 256 bytes");
}

TEST(ClientMessage, every_mistake_has_a_sentence) {
    const std::pair<std::string_view, std::string_view> kMistakes[] = {
        {"hello", "the message is not a JSON object"},
        {"[]", "the message is not a JSON object"},
        {"{}", "the member \"action\" is missing"},
        {R"({"action":1})", R"("action" must be "subscribe", "unsubscribe", "publish" or "ping")"},
        {R"({"action":"dance"})",
         R"("action" must be "subscribe", "unsubscribe", "publish" or "ping")"},
        {R"({"action":"ping","topic":"a"})", R"("ping" takes no member "topic")"},
        {R"({"action":"subscribe","topic":"a","parms":[]})",
         R"("subscribe" takes no member "parms")"},
        {R"({"action":"ping","action":"ping"})", R"(the member "action" is there twice)"},
        {R"({"action":"subscribe"})", "the member \"topic\" is missing"},
        {R"({"action":"subscribe","topic":7})", "\"topic\" must be a string"},
        {R"({"action":"subscribe","topic":"Queue"})",
         "a topic name consists of lower-case letters, digits and single dashes between them"},
        {R"({"action":"subscribe","topic":"a","params":"1"})",
         "\"params\" must be an array of strings"},
        {R"({"action":"subscribe","topic":"a","params":[1]})",
         "\"params\" must be an array of strings"},
        {R"({"action":"subscribe","topic":"a","params":["\u0000"]})",
         "\"params\" must be an array of strings"},
        {R"({"action":"subscribe","topic":"a","since":1})", "\"since\" must be a string"},
        {R"({"action":"subscribe","topic":"a","since":"yesterday"})",
         "since must be the id of a message, <epoch>-<sequence>"},
        {R"({"action":"publish","topic":"a"})", "the member \"data\" is missing"},
        {R"({"action":"publish","topic":"a","data":1,"type":2})", "\"type\" must be a string"},
    };
    for (const auto &[text, sentence] : kMistakes)
        EXPECT_EQ(problem(text), sentence) << text;
    std::string many = R"({"action":"subscribe","topic":"a","params":[)";
    for (int i = 0; i < 65; i++)
        many += i ? ",\"x\"" : "\"x\"";
    EXPECT_EQ(problem(many + "]}"), "there are more than 64 parameters");
}

} // namespace
} // namespace rtd
