// What a writer makes for every row must be what everybody else makes of the same event.
#include "router/repeated_event.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(RepeatedEvent, is_the_event_with_that_payload) {
    Event event;
    event.kind = EventKind::change;
    event.source = "event";
    for (const char *topic : {"a", "orders", "a-topic-with-a-rather-long-name-of-its-own"})
        for (const char *origin : {"", "a", "b", "a table"})
            for (uint64_t version : {0ULL, 1ULL, 0x6161616161616161ULL}) {
                event.topic = topic;
                event.origin = origin;
                event.version = version;
                RepeatedEvent repeated(event);
                for (size_t size : {2u, 0u, 1u, 300u, 70'000u, 3u, 20'000u, 0u}) {
                    event.payload = std::string(size, size % 2 == 0 ? 'a' : 'x');
                    PreparedEvent expected = prepare(event);
                    const PreparedEvent &made = repeated.with(event.payload);
                    ASSERT_EQ(made.bytes, expected.bytes);
                    ASSERT_EQ(made.topic_key, expected.topic_key);
                    ASSERT_EQ(made.interest_key, expected.interest_key);
                    ASSERT_EQ(made.covers_interest, expected.covers_interest);
                    ASSERT_EQ(made.says_lost, expected.says_lost);
                }
            }
}

TEST(RepeatedEvent, gives_back_what_a_large_payload_took) {
    Event event;
    event.topic = "a";
    RepeatedEvent repeated(event);
    repeated.with(std::string(1 << 20, 'x'));
    EXPECT_LT(repeated.with("small").bytes.capacity(), size_t{1} << 15);
}

} // namespace
} // namespace rtd
