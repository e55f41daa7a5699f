#include "core/spelled_json.h"

#include <gtest/gtest.h>

#include <jansson.h>
#include <memory>
#include <random>

namespace rtd {
namespace {

bool is_short(std::string_view number) {
    return number.size() < 5;
}

std::string spelled(std::string_view json) {
    return spell_out(json, is_short).text;
}

TEST(SpelledJson, leaves_alone_what_jsonb_can_hold) {
    for (const char *json :
         {"", "null", "[]", R"({"a":"\\u0000","b":[-1.5,1e3,true]})", R"("\ud83d\ude00\u00e9\"\\")",
          R"( { "k\n" : "ü" , "l" : [ [ ] ] } )"}) {
        SpelledJson result = spell_out(json, is_short);
        EXPECT_EQ(result.text, json);
        EXPECT_EQ(result.altered, 0u);
        EXPECT_EQ(result.where, "");
    }
}

TEST(SpelledJson, spells_out_escapes_that_jsonb_refuses) {
    EXPECT_EQ(spelled(R"("x\u0000y")"), R"("x\\u0000y")");
    EXPECT_EQ(spelled(R"({"\u0000":1})"), R"({"\\u0000":1})");
    EXPECT_EQ(spelled(R"("\\\u0000\\\\u0000")"), R"("\\\\u0000\\\\u0000")");
    EXPECT_EQ(spelled(R"("\uD83D")"), R"("\\uD83D")");
    EXPECT_EQ(spelled(R"("\ude00\ud83d\ude00\ude00")"), R"("\\ude00\ud83d\ude00\\ude00")");
    EXPECT_EQ(spelled(R"("\ud83d\u0000\ud83dx")"), R"("\\ud83d\\u0000\\ud83dx")");
}

TEST(SpelledJson, makes_a_string_of_a_number_that_does_not_fit) {
    EXPECT_EQ(spelled("[1,123456,-1e9999]"), R"([1,"123456","-1e9999"])");
    EXPECT_EQ(spelled("1e9999"), R"("1e9999")");
}

TEST(SpelledJson, says_where_the_first_one_is) {
    auto where = [](std::string_view json) { return spell_out(json, is_short).where; };
    EXPECT_EQ(where(R"("\u0000")"), "$");
    EXPECT_EQ(where(R"([{"id":1},{"id":2,"doc":{"a":[0,"\u0000"],"b":"\u0000"}}])"),
              "$[1].doc.a[1]");
    EXPECT_EQ(where(R"([[],{},[{"a":1,"b":123456}]])"), "$[2][0].b");
    SpelledJson deep = spell_out(std::string(1000, '[') + "\"\\u0000\"", is_short);
    EXPECT_LT(deep.where.size(), 250u);
    EXPECT_EQ(spell_out(R"(["\u0000","\u0000",123456])", is_short).altered, 3u);
}

// Whatever it is given, it reads no byte too many; and JSON stays JSON.
TEST(SpelledJson, makes_json_of_json_and_survives_everything_else) {
    std::random_device seed;
    std::mt19937 random(seed());
    const char *pieces[] = {"\"",     "\\", "\\u0000", "\\ud83d", "\\ude00", "\\u12",
                            "{",      "}",  "[",       "]",       ",",       ":",
                            "1e9999", "-",  "1",       "a",       "\\\\u0",  "\xc3\xa4"};
    size_t valid = 0;
    auto is_json = [](const std::string &text) {
        json_t *value =
            json_loadb(text.data(), text.size(), JSON_DECODE_ANY | JSON_ALLOW_NUL, nullptr);
        json_decref(value);
        return value != nullptr;
    };
    for (int i = 0; i < 30'000; i++) {
        std::string text = i % 2 == 0 ? "[\"" : "";
        for (size_t n = random() % 12; n > 0; n--)
            text += pieces[random() % std::size(pieces)];
        text += i % 2 == 0 ? "\"]" : "";
        std::string result = spelled(text);
        if (!is_json(text))
            continue;
        valid++;
        EXPECT_TRUE(is_json(result)) << text << " became " << result;
    }
    EXPECT_GT(valid, 500u);
}

} // namespace
} // namespace rtd
