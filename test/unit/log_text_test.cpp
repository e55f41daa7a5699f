#include "core/log_text.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(LogText, is_one_line_that_steers_no_terminal) {
    EXPECT_EQ(printable("plain text", 100), "plain text");
    EXPECT_EQ(printable("a\nLOG:  all is well\r\x1b[2J\x7f", 100), "a?LOG:  all is well??[2J?");
    EXPECT_EQ(printable("caf\xc3\xa9 \xe2\x82\xac", 100), "caf\xc3\xa9 \xe2\x82\xac");
    EXPECT_EQ(printable("x\xc2\x9b"
                        "2Jy",
                        100),
              "x?2Jy")
        << "a control character of two bytes";
    EXPECT_EQ(printable("caf\xc3\xa9\xff", 100), "caf???") << "no UTF-8";
}

TEST(LogText, is_bounded_and_ends_between_two_characters) {
    EXPECT_EQ(printable("abc", 2), "ab");
    EXPECT_EQ(printable("a\xc3\xa9", 2), "a");
    EXPECT_EQ(printable("\xc3", 1), "?");
    EXPECT_EQ(printable("", 0), "");
}

} // namespace
} // namespace rtd
