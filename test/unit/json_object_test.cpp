#include "gateway/websocket/json_object.h"

#include <gtest/gtest.h>
#include <random>

#include <jansson.h>

namespace rtd {
namespace {

std::string members_of(std::string_view text) {
    auto members = split_json_object(text);
    if (!members)
        return "refused";
    std::string line;
    for (const JsonMember &member : *members)
        line += member.name + "=" + std::string(member.value) + ";";
    return line;
}

TEST(JsonObject, is_taken_apart_and_its_values_stay_as_they_were_written) {
    EXPECT_EQ(members_of(R"({"a": 1.10, "b":12345678901234567890123, "c" : [1, {"x":2}] })"),
              R"(a=1.10;b=12345678901234567890123;c=[1, {"x":2}];)");
    EXPECT_EQ(members_of(R"( { "d":"}\"," , "e":-0.5e+400 } )"), R"(d="}\",";e=-0.5e+400;)");
    EXPECT_EQ(members_of("{}"), "");
    EXPECT_EQ(members_of(R"({"\u0061\n":true})"), "a\n=true;");
}

TEST(JsonObject, what_is_none_is_refused) {
    for (std::string_view text : {"",
                                  " ",
                                  "[]",
                                  "1",
                                  "null",
                                  "\"a\"",
                                  "{",
                                  "}",
                                  "{}}",
                                  "{} x",
                                  "{\"a\"}",
                                  "{\"a\":}",
                                  "{\"a\":1,}",
                                  "{,}",
                                  "{a:1}",
                                  "{'a':1}",
                                  "{\"a\":01}",
                                  "{\"a\":1.}",
                                  "{\"a\":.5}",
                                  "{\"a\":+1}",
                                  "{\"a\":-}",
                                  "{\"a\":1e}",
                                  "{\"a\":tru}",
                                  "{\"a\":nul}",
                                  "{\"a\":NaN}",
                                  "{\"a\":\"\n\"}",
                                  "{\"a\":\"\\x\"}",
                                  "{\"a\":\"\\u12g4\"}",
                                  "{\"a\":\"}",
                                  "{\"a\":[1}",
                                  "{\"a\":[1,]}",
                                  "{\"a\":1 \"b\":2}",
                                  "{\"a\":1,\"b\"",
                                  "{\"a\" 1}",
                                  "{\"\\ud800\":1}",
                                  "{\"a\":1}x"})
        EXPECT_EQ(members_of(text), "refused") << text;
    EXPECT_EQ(members_of(std::string_view("{\"a\":1}\0", 8)), "refused");
    std::string deep = "{\"a\":" + std::string(100000, '[');
    EXPECT_EQ(members_of(deep), "refused");
}

TEST(JsonObject, strings_lose_their_escapes) {
    EXPECT_EQ(json_string(R"("a\"\\\/\b\f\n\r\t")"), "a\"\\/\b\f\n\r\t");
    EXPECT_EQ(json_string(R"("\u00e4\u20AC\ud83d\ude00")"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    EXPECT_EQ(json_string("\"\xc3\xa4\""), "\xc3\xa4");
    EXPECT_EQ(json_string("1"), std::nullopt);
    EXPECT_EQ(json_string(R"("\u0000")"), std::nullopt);
    EXPECT_EQ(json_string(R"("\ud83d")"), std::nullopt);
    EXPECT_EQ(json_string(R"("\ud83d\u0041")"), std::nullopt);
    EXPECT_EQ(json_string(R"("\ude00\ud83d")"), std::nullopt);
}

TEST(JsonObject, arrays_are_taken_apart) {
    using Elements = std::vector<std::string_view>;
    EXPECT_EQ(split_json_array("[]"), Elements{});
    EXPECT_EQ(split_json_array("[\"a\" , [1,2],3]"), (Elements{"\"a\"", "[1,2]", "3"}));
    EXPECT_EQ(split_json_array("{}"), std::nullopt);
    EXPECT_EQ(split_json_array("null"), std::nullopt);
}

// Jansson judges the same texts, made by damaging a good one. It is stricter only about numbers
// that no machine type holds, which the good text does not have.
TEST(JsonObject, damaged_text_is_judged_as_another_parser_judges_it) {
    const std::string good =
        R"({"action":"publish","n":[0,-1.5e2,true,false,null,{"k":"v\u00e4\n"}],"s":""})";
    std::mt19937 random(20261121);
    int accepted = 0;
    for (int i = 0; i < 200000; i++) {
        std::string text = good;
        for (int damages = 1 + static_cast<int>(random() % 2); damages > 0; damages--) {
            size_t at = random() % text.size();
            if (random() % 2 == 0)
                text[at] = "{}[]\",:\\0129eE+-.tfnu \n"[random() % 23];
            else
                text.erase(at, 1);
        }
        json_t *value = json_loadb(text.data(), text.size(), JSON_ALLOW_NUL, nullptr);
        bool expected = json_is_object(value);
        json_decref(value);
        ASSERT_EQ(static_cast<bool>(split_json_object(text)), expected) << text;
        accepted += expected;
    }
    EXPECT_GT(accepted, 1000);
}

} // namespace
} // namespace rtd
