#include "gateway/session/sse_format.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(EventStream, an_event_has_an_id_and_a_name_only_if_they_are_given) {
    EXPECT_EQ(event_stream_event("{}", "1-2", ""), "id: 1-2\ndata: {}\n\n");
    EXPECT_EQ(event_stream_event("{}", "", "rtd_error"), "event: rtd_error\ndata: {}\n\n");
}

TEST(EventStream, line_ends_between_tokens_do_not_end_the_event) {
    EXPECT_EQ(event_stream_event("{\"a\":\r\n1,\n\n\"b\":2}", "", ""),
              "data: {\"a\":  1,  \"b\":2}\n\n");
}

} // namespace
} // namespace rtd
