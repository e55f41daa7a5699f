#include "core/request_path.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

using Strings = std::vector<std::string>;

std::string error_of(std::string_view target) {
    Result<RequestPath> path = parse_request_path(target);
    return path ? "" : path.error();
}

TEST(RequestPath, a_path_is_split_at_its_slashes) {
    Result<RequestPath> path = parse_request_path("/ws/context-analysis/42");
    ASSERT_TRUE(path);
    EXPECT_EQ(path->segments, (Strings{"ws", "context-analysis", "42"}));
    EXPECT_EQ(path->query, "");
}

TEST(RequestPath, the_root_has_no_segments) {
    Result<RequestPath> path = parse_request_path("/");
    ASSERT_TRUE(path);
    EXPECT_TRUE(path->segments.empty());
}

TEST(RequestPath, the_query_is_kept_apart) {
    Result<RequestPath> path = parse_request_path("/ws/queue?since=a/b&token=%zz");
    ASSERT_TRUE(path);
    EXPECT_EQ(path->segments, (Strings{"ws", "queue"}));
    EXPECT_EQ(path->query, "since=a/b&token=%zz");
    ASSERT_TRUE(parse_request_path("/?x"));
    EXPECT_TRUE(parse_request_path("/?x")->segments.empty());
}

TEST(RequestPath, a_value_of_the_query_is_found_by_name_and_decoded) {
    EXPECT_EQ(*query_value("since=1-2", "since"), "1-2");
    EXPECT_EQ(*query_value("other=x&since=1%2D2&since=3-4", "since"), "1-2");
    EXPECT_EQ(*query_value("since=a=b", "since"), "a=b");
    for (const char *none : {"", "&", "since", "since=", "sinc=1", "sincere=1", "x=since=1"})
        EXPECT_EQ(*query_value(none, "since"), "") << none;
    EXPECT_FALSE(query_value("since=%zz", "since"));
}

TEST(RequestPath, an_escaped_slash_stays_inside_its_parameter) {
    EXPECT_EQ(parse_request_path("/ws/t/a%2Fb")->segments, (Strings{"ws", "t", "a/b"}));
}

TEST(RequestPath, escapes_are_decoded_and_a_plus_is_a_plus) {
    EXPECT_EQ(parse_request_path("/ws/t/%c3%A4+%3f")->segments, (Strings{"ws", "t", "\xc3\xa4+?"}));
}

TEST(RequestPath, the_absolute_form_of_a_proxy_is_understood) {
    EXPECT_EQ(parse_request_path("http://host:1/ws/t")->segments, (Strings{"ws", "t"}));
    EXPECT_TRUE(parse_request_path("http://host")->segments.empty());
}

TEST(RequestPath, a_malformed_path_is_refused_with_the_reason) {
    EXPECT_NE(error_of("/ws/%"), "");
    EXPECT_NE(error_of("/ws/%4"), "");
    EXPECT_NE(error_of("/ws/%g0"), "");
    EXPECT_EQ(error_of("/ws/a%00b"), "the path has a NUL character");
    EXPECT_EQ(error_of("/ws/%ff"), "the path is not UTF-8");
    EXPECT_EQ(error_of("/ws/%ed%a0%80"), "the path is not UTF-8");
    EXPECT_EQ(error_of("/ws//a"), "the path has an empty segment");
    EXPECT_EQ(error_of("/ws/a/"), "the path has an empty segment");
    EXPECT_EQ(error_of("//"), "the path has an empty segment");
    EXPECT_NE(error_of(""), "");
    EXPECT_NE(error_of("*"), "");
    EXPECT_NE(error_of("ws"), "");
}

TEST(RequestPath, the_length_is_bounded) {
    EXPECT_EQ(error_of("/" + std::string(kMaxTargetBytes - 1, 'a')), "");
    EXPECT_NE(error_of("/" + std::string(kMaxTargetBytes, 'a')), "");
}

TEST(TopicPath, the_first_segment_is_the_topic_and_the_others_are_parameters) {
    Result<TopicPath> path = parse_topic_path({"ws", "generation-state", "p1", "s1"}, 1);
    ASSERT_TRUE(path);
    EXPECT_EQ(path->topic, "generation-state");
    EXPECT_EQ(path->params, (Strings{"p1", "s1"}));
}

TEST(TopicPath, a_missing_or_malformed_topic_is_refused) {
    EXPECT_FALSE(parse_topic_path({"ws"}, 1));
    EXPECT_FALSE(parse_topic_path({"ws", "No_Topic"}, 1));
}

TEST(TopicPath, parameters_are_bounded_in_number_and_length) {
    Strings segments = {"ws", "t"};
    segments.resize(2 + kMaxParams, "x");
    EXPECT_TRUE(parse_topic_path(segments, 1));
    segments.push_back("x");
    EXPECT_FALSE(parse_topic_path(segments, 1));
    EXPECT_TRUE(parse_topic_path({"ws", "t", std::string(kMaxParamBytes, 'x')}, 1));
    EXPECT_FALSE(parse_topic_path({"ws", "t", std::string(kMaxParamBytes + 1, 'x')}, 1));
}

} // namespace
} // namespace rtd
