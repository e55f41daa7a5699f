#include "core/utf8.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(Utf8, the_first_and_last_character_of_each_length_are_valid) {
    for (std::string_view text :
         {std::string_view("\0", 1), std::string_view("\x7f"), std::string_view("\xc2\x80"),
          std::string_view("\xdf\xbf"), std::string_view("\xe0\xa0\x80"),
          std::string_view("\xed\x9f\xbf"), std::string_view("\xee\x80\x80"),
          std::string_view("\xef\xbf\xbf"), std::string_view("\xf0\x90\x80\x80"),
          std::string_view("\xf4\x8f\xbf\xbf"), std::string_view()})
        EXPECT_TRUE(is_valid_utf8(text)) << testing::PrintToString(text);
}

TEST(Utf8, overlong_forms_surrogates_stray_and_cut_bytes_are_not) {
    for (std::string_view text :
         {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80",
          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xc3z",
          "\xf0\x9f\x98"})
        EXPECT_FALSE(is_valid_utf8(text)) << testing::PrintToString(text);
}

TEST(Utf8, a_text_is_cut_between_two_characters) {
    EXPECT_EQ(truncate_utf8("abc", 3), "abc");
    EXPECT_EQ(truncate_utf8("abc", 2), "ab");
    EXPECT_EQ(truncate_utf8("a\xe2\x82\xac", 3), "a");
    EXPECT_EQ(truncate_utf8("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
    EXPECT_EQ(truncate_utf8("\xf0\x9f\x98\x80", 3), "");
}

} // namespace
} // namespace rtd
