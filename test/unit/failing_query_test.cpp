// What subscribers hear of a query that fails, of a first message that cannot be had, and how often
// a failing query runs.
#include "router_fixture.h"

#include "core/envelope.h"

namespace rtd {
namespace {

class FailingQuery : public RouterTest {
  protected:
    FailingQuery() {
        add("list", TopicKind::state).throttle_ms = 0;
        apply();
    }
    void fail(const std::string &sqlstate = "22012",
              QueryOutcome::Status status = QueryOutcome::Status::failed) {
        QueryOutcome outcome{status, "division by zero: secret", 0, 0};
        outcome.sqlstate = sqlstate;
        router.finish_job(jobs.back().instance, outcome, now);
        router.finish_turn(now);
    }
    void succeed(const std::string &text, uint64_t hash) {
        finish(jobs.back().instance, text, hash);
    }
    // A subscriber with a state, whose query then fails.
    void go_stale() {
        subscribe(1, "list");
        ASSERT_EQ(jobs_due(), 1u);
        succeed("1", 1);
        change("list");
        ASSERT_EQ(jobs_due(), 1u);
        host.take();
        fail();
    }
    std::vector<std::string> told() {
        std::vector<std::string> all;
        for (const link::Control &control : host.take_all<link::Control>())
            all.push_back(json_member(control.body, "type") + json_member(control.body, "data"));
        return all;
    }
    std::vector<uint64_t> refused(CloseCode code = CloseCode::unavailable) {
        std::vector<uint64_t> all;
        for (const link::Ended &ended : host.take_all<link::Ended>()) {
            EXPECT_EQ(ended.code, code) << ended.reason;
            EXPECT_EQ(ended.reason.find("secret") == std::string::npos,
                      code == CloseCode::unavailable);
            all.push_back(ended.subscription);
        }
        return all;
    }
    // Time passes until the deadlines of the router are over.
    void pass_until(int64_t steady_ms) {
        while (router.next_deadline_ms() && *router.next_deadline_ms() <= steady_ms) {
            pass(std::max<int64_t>(*router.next_deadline_ms() - now.steady_ms, 1));
            jobs_due();
        }
        pass(std::max<int64_t>(steady_ms - now.steady_ms, 0));
    }
    using All = std::vector<uint64_t>;
};

const std::string kError =
    R"(rtd_error{"code":4500,"message":"the topic's query failed (SQLSTATE 22012); the server tries again"})";

TEST_F(FailingQuery, refuses_those_who_waited_for_it) {
    subscribe(1, "list");
    subscribe(2, "list");
    jobs_due();
    fail();
    EXPECT_EQ(refused().size(), 2u);
    EXPECT_EQ(router.subscription_count(), 0u);
    EXPECT_TRUE(host.interest.empty());
    pass(1001);
    EXPECT_EQ(router.instance_count(), 0u) << "it is not kept for long";
    EXPECT_TRUE(host.lingering.empty());
}

TEST_F(FailingQuery, is_told_once_to_those_who_have_a_state_and_so_is_its_end) {
    go_stale();
    EXPECT_EQ(told(), std::vector<std::string>{kError});
    pass(1000);
    ASSERT_EQ(jobs_due(), 1u);
    fail();
    EXPECT_TRUE(told().empty()) << "they know";
    pass(2000);
    ASSERT_EQ(jobs_due(), 1u);
    fail("42501");
    EXPECT_EQ(told().size(), 1u) << "it fails for another reason";
    pass(4000);
    ASSERT_EQ(jobs_due(), 1u);
    succeed("1", 1);
    EXPECT_EQ(told(), std::vector<std::string>{R"(rtd_current{"id":"100-1"})"});
    change("list");
    jobs_due();
    succeed("2", 2);
    EXPECT_TRUE(told().empty()) << "it did not fail";
}

TEST_F(FailingQuery, comes_to_its_end_with_a_new_state_before_that_is_called_current) {
    go_stale();
    host.take();
    change("list");
    pass(1000);
    jobs_due();
    succeed("2", 2);
    std::vector<link::HubFrame> frames = host.take();
    ASSERT_EQ(frames.size(), 2u);
    EXPECT_EQ(std::get<link::Message>(frames[0]).id, "100-2");
    EXPECT_NE(std::get<link::Control>(frames[1]).body.find("100-2"), std::string::npos);
}

TEST_F(FailingQuery, ends_those_who_cannot_be_told_after_a_grace) {
    go_stale();
    pass_until(now.steady_ms + 9'999);
    EXPECT_TRUE(host.take_all<link::EndUntold>().empty());
    pass(1);
    auto ended = host.take_all<link::EndUntold>();
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].code, CloseCode::unavailable);
    pass(60'000);
    jobs_due();
    fail();
    EXPECT_TRUE(host.take_all<link::EndUntold>().empty()) << "once";
    pass(120'000);
    jobs_due();
    succeed("1", 1);
    change("list");
    jobs_due();
    fail();
    pass_until(now.steady_ms + 10'000);
    EXPECT_EQ(host.take_all<link::EndUntold>().size(), 1u) << "another failure";
}

TEST_F(FailingQuery, never_gives_the_old_state_to_a_newcomer) {
    go_stale();
    host.take();
    subscribe(2, "list");
    resume(3, "list", "100-1");
    for (const link::Subscribed &answer : host.take_all<link::Subscribed>()) {
        EXPECT_TRUE(answer.awaits_first);
        EXPECT_FALSE(answer.recovered) << "what it has is stale";
    }
    pass(1000);
    ASSERT_EQ(jobs_due(), 1u);
    fail();
    EXPECT_EQ(refused().size(), 2u);
    EXPECT_TRUE(host.take_all<link::Message>().empty());
    EXPECT_EQ(router.subscription_count(), 1u);
}

TEST_F(FailingQuery, makes_a_newcomer_wait_no_longer_than_two_seconds) {
    go_stale();
    pass_until(now.steady_ms + 300);
    subscribe(2, "list");
    int64_t came_ms = now.steady_ms;
    host.take();
    pass_until(came_ms + 1499); // the next attempt has begun, and takes its time
    EXPECT_TRUE(refused().empty());
    EXPECT_EQ(jobs.size(), 3u);
    pass(1);
    EXPECT_EQ(refused(), All{2});
    subscribe(3, "list"); // is told of the same failure, or gets what the attempt finds
    pass(100);
    succeed("2", 2);
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 2u);
    EXPECT_EQ(sent[1].audience, Audience::waiting);
}

TEST_F(FailingQuery, that_was_mended_is_found_so_by_a_newcomer) {
    go_stale();
    for (int64_t backoff : {1000, 2000, 4000}) {
        pass(backoff);
        jobs_due();
        fail();
    }
    pass(1500); // of 8 s
    host.take();
    subscribe(2, "list");
    ASSERT_EQ(jobs_due(), 1u);
    succeed("1", 1);
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u);
}

TEST_F(FailingQuery, runs_once_a_second_for_a_crowd_of_newcomers) {
    int64_t end_ms = now.steady_ms + 10'000;
    size_t runs = 0, refusals = 0;
    for (uint64_t subscription = 1; now.steady_ms < end_ms; subscription++) {
        subscribe(subscription, "list");
        pass(10);
        if (size_t due = jobs_due()) {
            runs += due;
            pass(5);
            fail();
        }
        refusals += refused().size();
    }
    EXPECT_LE(runs, 11u);
    EXPECT_GE(runs, 9u);
    EXPECT_GE(refusals, 500u);
}

TEST_F(FailingQuery, runs_once_a_second_for_a_busy_table) {
    go_stale();
    int64_t end_ms = now.steady_ms + 10'000;
    size_t runs = 0;
    while (now.steady_ms < end_ms) {
        change("list");
        pass(1);
        if (size_t due = jobs_due()) {
            runs += due;
            fail();
        }
    }
    EXPECT_LE(runs, 10u);
    EXPECT_GE(runs, 9u);
}

TEST_F(FailingQuery, whose_subscribers_all_left_refuses_the_next_ones_and_keeps_its_state) {
    RouterSettings settings;
    settings.linger_ms = 60'000;
    router.set_settings(settings);
    go_stale();
    unsubscribe(1);
    pass(5000);
    host.take();
    resume(2, "list", "100-1");
    ASSERT_EQ(jobs_due(), 1u);
    fail();
    EXPECT_EQ(refused(), All{2});
    pass(30'000);
    resume(3, "list", "100-1");
    ASSERT_EQ(jobs_due(), 1u);
    host.take();
    succeed("1", 1);
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].id, "100-1") << "the same instance";
}

TEST_F(FailingQuery, of_a_bad_parameter_is_remembered_for_a_moment) {
    add("one", TopicKind::state).parameters = {"id"};
    apply();
    subscribe(1, "one", {"abc"});
    jobs_due();
    fail("22P02", QueryOutcome::Status::bad_parameter);
    EXPECT_EQ(refused(CloseCode::bad_request), All{1});
    EXPECT_TRUE(host.warnings.empty()) << "a client cannot fill the log";
    subscribe(2, "one", {"abc"});
    EXPECT_EQ(jobs_due(), 0u);
    pass(1000);
    ASSERT_EQ(jobs_due(), 1u);
    fail("22P02", QueryOutcome::Status::bad_parameter);
    EXPECT_EQ(refused(CloseCode::bad_request), All{2});
    pass(1001);
    EXPECT_EQ(router.instance_count(), 0u);
    EXPECT_TRUE(host.interest.empty());
    EXPECT_TRUE(host.lingering.empty());
}

TEST_F(FailingQuery, leaves_nothing_behind_when_the_topic_goes_or_the_clients_do) {
    go_stale();
    subscribe(2, "list");
    unsubscribe(2);
    pass_until(now.steady_ms + 5000);
    EXPECT_TRUE(refused().empty());
    subscribe(3, "list");
    topics.clear();
    apply();
    EXPECT_EQ(host.take_all<link::Ended>().size(), 2u);
    pass_until(now.steady_ms + 60'000);
    EXPECT_EQ(router.instance_count(), 0u);
    EXPECT_TRUE(host.interest.empty());
    EXPECT_EQ(router.next_deadline_ms(), std::nullopt);
}

TEST_F(FailingQuery, of_an_altered_topic_runs_at_once) {
    go_stale();
    subscribe(2, "list");
    host.take();
    alter("list").query = "SELECT 2";
    apply();
    router.finish_turn(now);
    ASSERT_EQ(jobs_due(), 1u);
    succeed("2", 2);
    EXPECT_EQ(host.take_all<link::Message>().size(), 2u);
}

// The jobs are not taken here, as if no query worker were free.
TEST_F(FailingQuery, newcomers_do_not_wait_for_a_query_worker_for_ever) {
    host.has_workers = false;
    subscribe(1, "list");
    pass(1499);
    EXPECT_TRUE(refused().empty());
    pass(1);
    EXPECT_EQ(refused(), All{1});
    pass(700);
    subscribe(2, "list");
    pass(1500);
    EXPECT_EQ(refused(), All{2}) << "the next one as well";

    host.has_workers = true;
    pass(5000);
    subscribe(3, "list");
    pass(1500);
    EXPECT_TRUE(refused().empty()) << "they are only busy";
    for (int i = 0; i < 20; i++)
        pass(500);
    EXPECT_EQ(refused(), All{3});
    subscribe(4, "list");
    ASSERT_EQ(jobs_due(), 1u);
    succeed("1", 1);
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u);
    pass(60'000);
    EXPECT_TRUE(refused().empty());
}

TEST_F(FailingQuery, a_held_back_state_is_not_sent_as_the_newest_while_it_fails) {
    alter("list").significant = "public.moved";
    apply();
    subscribe(1, "list");
    jobs_due();
    succeed("1", 1);
    change("list");
    jobs_due();
    QueryOutcome insignificant{QueryOutcome::Status::ok, "2", 2, 0};
    insignificant.is_significant = false;
    router.finish_job(jobs.back().instance, insignificant, now);
    change("list");
    jobs_due();
    fail();
    host.take();
    subscribe(2, "list");
    EXPECT_TRUE(host.take_all<link::Message>().empty());
    pass(1000);
    jobs_due();
    router.finish_job(jobs.back().instance, insignificant, now);
    router.finish_turn(now);
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 2u);
    EXPECT_EQ(sent[1].audience, Audience::waiting);
    EXPECT_EQ(json_member(sent[1].body, "data"), "2");
}

TEST_F(RouterTest, a_retained_message_that_cannot_be_read_is_not_none) {
    add("routes", TopicKind::event).retain = true;
    apply();
    host.cannot_load = true;
    for (uint64_t subscription = 1; subscription <= 5; subscription++)
        subscribe(subscription, "routes", {}, subscription == 3 ? "100-1" : "");
    auto ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 5u);
    for (const link::Ended &refusal : ended)
        EXPECT_EQ(refusal.code, CloseCode::unavailable);
    EXPECT_EQ(host.loads, 1) << "a crowd does not have it read again";
    host.cannot_load = false;
    host.stored["routes"] = R"({"data":1,"id":"1-1","kind":"event"})";
    pass(1001);
    subscribe(6, "routes");
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u);
    EXPECT_EQ(host.loads, 2);
}

TEST_F(RouterTest, values_that_were_spelled_out_are_logged_once) {
    add("list", TopicKind::state).throttle_ms = 0;
    apply();
    subscribe(1, "list");
    for (int i = 0; i < 3; i++) {
        jobs_due();
        QueryOutcome outcome{QueryOutcome::Status::ok, std::to_string(i), static_cast<uint64_t>(i),
                             0};
        outcome.altered = i < 2 ? "one" : "another";
        router.finish_job(jobs.back().instance, outcome, now);
        change("list");
    }
    EXPECT_EQ(host.warnings.size(), 2u);
}

} // namespace
} // namespace rtd
