#include "router/event.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

Event sample() {
    return {EventKind::broadcast,
            "queue",
            {"a", std::nullopt, ""},
            {"7", ""},
            "phase_queue",
            "queue_update",
            "event",
            "{\"x\":1}",
            3,
            {"A"}};
}

TEST(Event, survives_its_encoding) {
    Result<Event> event = decode_event(encode(sample()));
    ASSERT_TRUE(event);
    EXPECT_EQ(event->kind, EventKind::broadcast);
    EXPECT_EQ(event->topic, "queue");
    EXPECT_EQ(event->params, sample().params);
    EXPECT_EQ(event->key, sample().key);
    EXPECT_EQ(event->version, 3u);
    EXPECT_EQ(event->origin, "phase_queue");
    EXPECT_EQ(event->type, "queue_update");
    EXPECT_EQ(event->source, "event");
    EXPECT_EQ(event->payload, "{\"x\":1}");
    EXPECT_EQ(event->shown, sample().shown);
}

TEST(Event, cut_anywhere_or_followed_by_more_is_refused) {
    std::string bytes = encode(sample());
    for (size_t size = 0; size < bytes.size(); size++)
        EXPECT_FALSE(decode_event(std::string(bytes.data(), size))) << size;
    EXPECT_FALSE(decode_event(bytes + "x"));
}

TEST(Event, an_unknown_kind_is_refused) {
    std::string bytes = encode(sample());
    bytes[0] = 99;
    EXPECT_FALSE(decode_event(bytes));
}

TEST(InterestKey, parameters_are_told_apart_by_where_they_end) {
    EXPECT_NE(instance_key("t", {"a", "bc"}), instance_key("t", {"ab", "c"}));
    EXPECT_NE(instance_key("t", {"a"}), instance_key("ta", {}));
    EXPECT_NE(instance_key("t", {}), instance_key("t", {""}));
    EXPECT_NE(topic_key("t"), instance_key("t", {}));
}

TEST(InterestKey, is_the_instance_if_all_parameters_are_known_and_else_the_topic) {
    Event event;
    event.topic = "t";
    EXPECT_EQ(interest_key(event), topic_key("t"));
    event.params = {"a", "b"};
    EXPECT_EQ(interest_key(event), instance_key("t", {"a", "b"}));
    event.params = {"a", std::nullopt};
    EXPECT_EQ(interest_key(event), topic_key("t"));
}

} // namespace
} // namespace rtd
