// A topic whose query meets a lock waits without a query worker, and takes no turn of others.
#include "core/envelope.h"
#include "router_fixture.h"

namespace rtd {
namespace {

class LockedTopicsTest : public RouterTest {
  protected:
    LockedTopicsTest() {
        for (const char *name : {"held", "free"})
            add(name, TopicKind::state).parameters = {"id"};
        apply();
    }
    std::optional<QueryJob> take(bool is_last = false) { return router.take_job(now, 2, is_last); }
    void meet_lock(const QueryJob &job) {
        QueryOutcome outcome;
        outcome.status = QueryOutcome::Status::locked;
        router.finish_job(job.instance, outcome, now);
        router.finish_turn(now);
    }
};

TEST_F(LockedTopicsTest, OtherTopicsGoOnWhileItWaits) {
    for (uint64_t id = 1; id <= 5; id++)
        subscribe(id, "held", {std::to_string(id)});
    std::optional<QueryJob> first = take();
    ASSERT_TRUE(first);
    meet_lock(*first);
    EXPECT_FALSE(take()) << "none of its instances is tried";
    subscribe(6, "free", {"1"});
    std::optional<QueryJob> other = take(true);
    ASSERT_TRUE(other);
    EXPECT_EQ(other->topic->name, "free");
    finish(other->instance, "[]", 1);
    pass(200);
    EXPECT_FALSE(take(true)) << "not with the last worker";
    std::optional<QueryJob> again = take();
    ASSERT_TRUE(again) << "one is tried";
    EXPECT_FALSE(take()) << "and no more than one";
    finish(again->instance, "[]", 1);
    for (int n = 0; n < 4; n++) {
        std::optional<QueryJob> rest = take(true);
        ASSERT_TRUE(rest) << "all others follow at once";
        finish(rest->instance, "[]", 1);
    }
}

TEST_F(LockedTopicsTest, ThePauseGrowsToTwoSeconds) {
    subscribe(1, "held", {"1"});
    finish(take()->instance, "[]", 1); // who waits for a first message would be refused
    change("held", {"1"});
    int64_t longest_ms = 0;
    for (int n = 0; n < 8; n++) {
        int64_t paused_ms = 0;
        std::optional<QueryJob> job;
        for (; !(job = take()) && paused_ms < 10'000; paused_ms += 100)
            pass(100);
        ASSERT_TRUE(job);
        EXPECT_LE(paused_ms, 2000);
        longest_ms = std::max(longest_ms, paused_ms);
        meet_lock(*job);
        host.take();
    }
    EXPECT_EQ(longest_ms, 2000);
}

TEST_F(LockedTopicsTest, SubscribersHearOfALockThatLastsAndOfItsEnd) {
    subscribe(1, "held", {"1"});
    finish(take()->instance, "[]", 1);
    subscribe(2, "held", {"2"}); // waits for its first message
    host.take();
    change("held", {"1"});
    int told = 0, refused = 0;
    for (int64_t ms = 0; ms < 2000; ms += 50) {
        while (std::optional<QueryJob> job = take())
            meet_lock(*job);
        pass(50);
        for (const link::HubFrame &frame : host.take()) {
            const auto *control = std::get_if<link::Control>(&frame);
            told +=
                control != nullptr && control->body.find("waits for a lock") != std::string::npos;
            const auto *ended = std::get_if<link::Ended>(&frame);
            refused += ended != nullptr && ended->subscription == 2;
        }
    }
    EXPECT_EQ(told, 1);
    EXPECT_EQ(refused, 1);
    std::optional<QueryJob> job;
    for (int n = 0; n < 100 && !(job = take()); n++)
        pass(100);
    ASSERT_TRUE(job);
    finish(job->instance, "[1]", 2);
    EXPECT_FALSE(host.take_all<link::Control>().empty()) << "it is current again";
}

TEST_F(LockedTopicsTest, AStoredMessageThatIsReadLateIsNotMissed) {
    Topic &kept = add("kept", TopicKind::event);
    kept.retain = true;
    kept.history = 10;
    apply();
    host.stored["kept"] =
        R"({"type":"kept_update","data":1,"timestamp":"2026-01-01T00:00:00+00:00","source":"event","topic":"kept","params":[],"id":"1-1","kind":"event"})";
    reads_at_once = false;
    subscribe(1, "kept");
    subscribe(2, "kept", {}, "1-1");
    EXPECT_TRUE(host.take().empty()) << "nobody is answered before it is known";
    // Events are lost meanwhile: the stored message comes first, and then the gap.
    router.handle_loss([](uint64_t) { return true; }, "full", now);
    router.finish_turn(now);
    host.take();
    read_retained();
    router.finish_turn(now);
    std::vector<std::string> ids;
    for (const link::Replayed &replayed : host.take_all<link::Replayed>())
        if (replayed.subscription == 1)
            ids.push_back(replayed.id);
    ASSERT_EQ(ids.size(), 2U);
    EXPECT_EQ(parse_message_id(ids[0])->sequence + 1, parse_message_id(ids[1])->sequence);
}

TEST_F(LockedTopicsTest, AnEventThatComesWhileTheStoredMessageIsReadIsTheFirstMessage) {
    add("kept", TopicKind::event).retain = true;
    apply();
    reads_at_once = false;
    subscribe(1, "kept");
    std::vector<RetainedRead> reads = router.take_retained_reads(1);
    ASSERT_EQ(reads.size(), 1U);
    broadcast("kept", "2");
    EXPECT_EQ(host.take_all<link::Subscribed>().size(), 1U);
    router.finish_retained_read({reads[0].instance, false, "older"}, now);
    router.finish_turn(now);
    EXPECT_TRUE(host.take().empty()) << "what is older comes to nothing";
}

TEST_F(LockedTopicsTest, WhoWaitsForAReadingThatDoesNotEndIsRefused) {
    add("kept", TopicKind::event).retain = true;
    apply();
    reads_at_once = false;
    host.has_workers = false;
    subscribe(1, "kept");
    pass(1700);
    EXPECT_TRUE(host.take_all<link::Ended>().empty());
    pass(200);
    EXPECT_EQ(host.take_all<link::Ended>().size(), 1U);
}

} // namespace
} // namespace rtd
