#include "core/envelope.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(Envelope, has_every_member_in_the_documented_order) {
    std::vector<std::string> params = {"42", "a\"b"};
    EXPECT_EQ(to_json({.type = "queue_update",
                       .data = R"({"cost":1.5000})",
                       .timestamp_us = 1'790'000'000'000'001,
                       .source = "event",
                       .topic = "queue",
                       .params = &params,
                       .id = message_id(7, 9),
                       .kind = "snapshot"}),
              R"({"type":"queue_update","data":{"cost":1.5000},)"
              R"("timestamp":"2026-09-21T14:13:20.000001+00:00","source":"event",)"
              R"("topic":"queue","params":["42","a\"b"],"id":"7-9","kind":"snapshot"})");
}

TEST(Envelope, missing_data_is_null) {
    std::vector<std::string> none;
    EXPECT_NE(to_json({.type = "t", .params = &none}).find(R"("data":null,)"), std::string::npos);
}

TEST(Envelope, a_stored_message_is_told_from_what_is_none_whatever_its_data) {
    std::vector<std::string> params = {R"(,"timestamp":"x)"};
    for (std::string data : {"1", "123456789012345678901234567890", "1e400", R"("\u0000")",
                             R"({"a":1,"timestamp":"x","topic":"other","id":"1-1"})"}) {
        std::string body = to_json({.type = "t",
                                    .data = data,
                                    .timestamp_us = 1'790'000'000'000'001,
                                    .source = "event",
                                    .topic = "queue",
                                    .params = &params,
                                    .id = message_id(7, 9),
                                    .kind = "event"});
        EXPECT_TRUE(is_message_of(body, "queue")) << body;
        EXPECT_FALSE(is_message_of(body, "other"));
        EXPECT_EQ(tail_member(body, "id"), "7-9");
        EXPECT_EQ(tail_member(body, "timestamp"), "2026-09-21T14:13:20.000001+00:00");
    }
    for (std::string body : {"", "x", "[]", "{}", R"({"type":"t","data":1,"timestamp":"x"})",
                             R"({"type":"t","data":1,"timestamp":7,"topic":"queue"})"})
        EXPECT_FALSE(is_message_of(body, "queue")) << body;
}

TEST(Envelope, the_log_finds_operation_and_key_of_a_payload) {
    std::string payload = R"({"operation":"UPDATE","queue_id":17,"timestamp":"x"})";
    EXPECT_EQ(json_member(payload, "operation"), "UPDATE");
    EXPECT_EQ(json_second_member(payload), "17");
    EXPECT_EQ(json_member("[1]", "operation"), "");
    EXPECT_EQ(json_second_member("not json"), "");
}

} // namespace
} // namespace rtd
