// Clients make up instances, of any parameters: what they take together is bounded.
#include "router_fixture.h"

namespace rtd {
namespace {

class InstanceMemoryTest : public RouterTest {
  protected:
    void bound(size_t bytes, int64_t linger_ms = 0) {
        RouterSettings settings;
        settings.linger_ms = linger_ms;
        settings.instance_bytes = bytes;
        router.set_settings(settings);
    }
    Topic &add_with_name(const std::string &name, TopicKind kind) {
        Topic &topic = add(name, kind);
        topic.parameters = {"name"};
        return topic;
    }
};

TEST_F(InstanceMemoryTest, ASubscriptionThatWouldMakeOneInstanceTooManyIsRefused) {
    add_with_name("room", TopicKind::event);
    apply();
    bound(100'000);
    uint64_t subscription = 0;
    while (router.instance_bytes() <= 100'000 && subscription < 1000) {
        subscription++;
        subscribe(subscription, "room", {std::string(900, 'x') + std::to_string(subscription)});
    }
    ASSERT_LT(subscription, 1000u);
    host.take();
    subscribe(2000, "room", {"one more"});
    auto ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].code, CloseCode::too_many);
    EXPECT_EQ(host.warnings.size(), 1u);
    // One that is there is no new one.
    subscribe(2001, "room", {std::string(900, 'x') + "1"});
    EXPECT_EQ(host.take_all<link::Subscribed>().size(), 1u);
    while (subscription > 0)
        unsubscribe(subscription--);
    unsubscribe(2001);
    EXPECT_EQ(router.instance_bytes(), 0u) << "all is counted off";
    subscribe(2002, "room", {"one more"});
    EXPECT_EQ(host.take_all<link::Subscribed>().size(), 1u);
}

TEST_F(InstanceMemoryTest, ThoseThatLingerMakeRoom) {
    add_with_name("count", TopicKind::state);
    apply();
    bound(100'000, 60'000);
    for (uint64_t n = 1; n <= 1000; n++) {
        subscribe(n, "count", {std::to_string(n)});
        unsubscribe(n);
    }
    EXPECT_TRUE(host.take_all<link::Ended>().empty());
    EXPECT_LE(router.instance_bytes(), 103'000u);
}

TEST_F(InstanceMemoryTest, AFirstResultForWhichThereIsNoRoomIsNotKept) {
    add_with_name("echo", TopicKind::state);
    apply();
    bound(100'000);
    for (uint64_t n = 1; n <= 20; n++)
        subscribe(n, "echo", {std::to_string(n)});
    host.take();
    jobs_due();
    while (!jobs.empty()) {
        std::vector<QueryJob> due;
        due.swap(jobs);
        for (const QueryJob &job : due)
            finish(job.instance, "\"" + std::string(30'000, 'x') + "\"", job.instance);
        jobs_due();
    }
    EXPECT_LE(router.instance_bytes(), 140'000u);
    EXPECT_GE(router.instance_count(), 1u);
    EXPECT_LE(router.instance_count(), 4u);
    size_t refused = 0;
    for (const link::Ended &ended : host.take_all<link::Ended>())
        refused += ended.code == CloseCode::too_many;
    EXPECT_EQ(refused, 20 - router.instance_count());
}

TEST_F(InstanceMemoryTest, HistoriesAreNotKeptWhileThereIsNoRoomForThem) {
    add_with_name("news", TopicKind::event).history = 100;
    apply();
    bound(100'000);
    for (uint64_t n = 1; n <= 10; n++)
        subscribe(n, "news", {std::to_string(n)});
    for (int round = 0; round < 100; round++)
        for (int n = 1; n <= 10; n++)
            broadcast("news", "\"" + std::string(5000, 'x') + "\"", {std::to_string(n)});
    EXPECT_LE(router.instance_bytes(), 110'000u);
    EXPECT_EQ(router.subscription_count(), 10u);
}

} // namespace
} // namespace rtd
