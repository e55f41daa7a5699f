#include "core/json_text.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(JsonText, escapes_what_json_wants_escaped) {
    EXPECT_EQ(json_quote("a\"\\\n\x01"), R"("a\"\\\u000a\u0001")");
}

TEST(JsonText, keeps_every_other_character) {
    EXPECT_EQ(json_quote("Zürich \xF0\x9F\x98\x80 /"), "\"Zürich \xF0\x9F\x98\x80 /\"");
    EXPECT_EQ(json_quote(""), "\"\"");
    EXPECT_EQ(json_quote({}), "\"\"");
}

} // namespace
} // namespace rtd
