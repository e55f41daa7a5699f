// The router alone: topics, subscriptions, queries and time. Those who come back: resume_test.cpp.
#include "router_fixture.h"

#include "core/envelope.h"

namespace rtd {
namespace {

TEST_F(RouterTest, an_unknown_topic_is_refused) {
    subscribe(1, "nothing");
    auto ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].code, CloseCode::unknown_topic);
    EXPECT_EQ(ended[0].subscription, 1u);
    EXPECT_TRUE(host.interest.empty());
}

TEST_F(RouterTest, a_wrong_number_of_parameters_is_refused) {
    add("status", TopicKind::state).parameters = {"id"};
    apply();
    subscribe(1, "status");
    subscribe(2, "status", {"1", "2"});
    auto ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 2u);
    EXPECT_EQ(ended[0].code, CloseCode::bad_request);
    EXPECT_EQ(ended[1].reason, "topic \"status\" takes 1 parameter, not 2");
}

TEST_F(RouterTest, a_topic_that_is_not_granted_is_refused) {
    add("secret", TopicKind::state);
    host.forbidden = {"secret"};
    apply();
    subscribe(1, "secret");
    EXPECT_EQ(host.take_all<link::Ended>().at(0).code, CloseCode::forbidden);
}

TEST_F(RouterTest, no_room_for_interest_refuses_the_subscription) {
    add("list", TopicKind::state);
    apply();
    host.full = true;
    subscribe(1, "list");
    EXPECT_EQ(host.take_all<link::Ended>().at(0).code, CloseCode::too_many);
    EXPECT_EQ(router.subscription_count(), 0u);
}

TEST_F(RouterTest, interest_is_counted_before_the_first_query_and_given_back_at_the_end) {
    add("list", TopicKind::state);
    apply();
    subscribe(1, "list");
    EXPECT_EQ(host.interest.size(), 2u);
    EXPECT_EQ(jobs_due(), 1u);
    router.unsubscribe(1, now);
    EXPECT_TRUE(host.interest.empty());
}

TEST_F(RouterTest, changes_are_news_again_before_a_query_starts) {
    add("status", TopicKind::state).parameters = {"id"};
    apply();
    subscribe(1, "status", {"7"});
    EXPECT_TRUE(host.cleared.empty());
    EXPECT_EQ(jobs_due(), 1u);
    EXPECT_EQ(host.cleared,
              (std::vector<uint64_t>{instance_key("status", {"7"}), topic_key("status")}));
}

// Otherwise the first change of a burst would be the last one that a debounced topic hears of.
TEST_F(RouterTest, a_debounced_topic_wants_to_hear_of_every_change) {
    add("typed", TopicKind::state).debounce_ms = 50;
    apply();
    subscribe(1, "typed");
    pass(50);
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    host.cleared.clear();
    change("typed");
    EXPECT_FALSE(host.cleared.empty());
}

TEST_F(RouterTest, without_a_subscriber_no_query_runs) {
    add("list", TopicKind::state);
    apply();
    change("list");
    pass(10'000);
    EXPECT_EQ(jobs_due(), 0u);
    EXPECT_EQ(router.next_deadline_ms(), std::nullopt);
}

TEST_F(RouterTest, many_subscribers_cost_one_query_and_one_first_message) {
    add("list", TopicKind::state);
    apply();
    for (uint64_t subscription = 1; subscription <= 1000; subscription++)
        router.subscribe({subscription, subscription, "list", {}, {}}, {}, now);
    router.finish_turn(now);
    EXPECT_EQ(jobs_due(), 1u);
    host.take();
    finish(jobs[0].instance, "[1]", 11);
    auto messages = host.take_all<link::Message>();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].audience, Audience::waiting);
    EXPECT_NE(messages[0].body.find(R"("data":[1])"), std::string::npos);
    EXPECT_NE(messages[0].body.find(R"("source":"sync")"), std::string::npos);
}

TEST_F(RouterTest, a_later_subscriber_gets_the_state_that_is_kept_without_a_query) {
    add("list", TopicKind::state);
    apply();
    subscribe(1, "list");
    jobs_due();
    finish(jobs[0].instance, "[1]", 11);
    std::string first = host.take_all<link::Message>().at(0).body;
    subscribe(2, "list");
    auto messages = host.take_all<link::Message>();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].body, first);
    EXPECT_EQ(messages[0].audience, Audience::waiting);
    EXPECT_EQ(jobs_due(), 0u);
}

TEST_F(RouterTest, an_equal_state_is_not_sent_again) {
    add("list", TopicKind::state);
    apply();
    subscribe(1, "list");
    jobs_due();
    finish(jobs[0].instance, "[1.0]", 11);
    host.take();
    change("list");
    ASSERT_EQ(jobs_due(), 1u);
    finish(jobs[1].instance, "[1.00]", 11); // other text, equal as jsonb
    EXPECT_TRUE(host.take_all<link::Message>().empty());
    change("list");
    pass(0);
    jobs_due();
    finish(jobs[2].instance, "[2]", 12);
    EXPECT_EQ(host.take_all<link::Message>().at(0).audience, Audience::live);
}

// ---- security => 'invoker' ----

class InvokerTest : public RouterTest {
  protected:
    InvokerTest() {
        add("mine", TopicKind::state).is_invoker = true;
        add("ours", TopicKind::state);
        apply();
    }
    // The instance that each subscription belongs to.
    std::map<uint64_t, uint64_t> instances() {
        for (const link::Subscribed &subscribed : host.take_all<link::Subscribed>())
            instances_[subscribed.subscription] = subscribed.instance;
        return instances_;
    }

    const Identity ann{10, R"({"role": "member", "sub": "ann"})"};
    const Identity bob{10, R"({"role": "member", "sub": "bob"})"};
    const Identity admin{11, R"({"role": "member", "sub": "ann"})"};

  private:
    std::map<uint64_t, uint64_t> instances_;
};

TEST_F(InvokerTest, equal_role_and_claims_share_an_instance_and_others_never_do) {
    subscribe_as(ann, 1, "mine");
    subscribe_as(ann, 2, "mine");
    subscribe_as(bob, 3, "mine");
    subscribe_as(admin, 4, "mine");
    auto of = instances();
    EXPECT_EQ(of[1], of[2]);
    EXPECT_EQ(std::set({of[1], of[3], of[4]}).size(), 3u);
    ASSERT_EQ(jobs_due(), 3u);
    std::map<uint64_t, Identity> runs_as;
    for (const QueryJob &job : jobs)
        runs_as[job.instance] = job.identity;
    EXPECT_EQ(runs_as, (std::map<uint64_t, Identity>{{of[1], ann}, {of[3], bob}, {of[4], admin}}));
}

TEST_F(InvokerTest, a_topic_that_runs_as_its_owner_is_shared_by_all_and_carries_no_identity) {
    subscribe_as(ann, 1, "ours");
    subscribe_as(bob, 2, "ours");
    auto of = instances();
    EXPECT_EQ(of[1], of[2]);
    ASSERT_EQ(jobs_due(), 1u);
    EXPECT_EQ(jobs[0].identity, Identity{});
}

TEST_F(InvokerTest, a_state_goes_to_its_own_identity_only) {
    subscribe_as(ann, 1, "mine");
    subscribe_as(bob, 2, "mine");
    auto of = instances();
    ASSERT_EQ(jobs_due(), 2u);
    finish(of[1], "[\"of ann\"]", 1);
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].instance, of[1]);
    subscribe_as(bob, 3, "mine");
    EXPECT_TRUE(host.take_all<link::Message>().empty()) << "not greeted with the state of ann";
}

TEST_F(InvokerTest, one_change_makes_every_identity_query_and_any_start_makes_changes_news_again) {
    subscribe_as(ann, 1, "mine");
    subscribe_as(bob, 2, "mine");
    EXPECT_EQ(host.interest.size(), 2u)
        << "writers see one key for the instance, one for the topic";
    ASSERT_EQ(jobs_due(), 2u);
    finish(jobs[0].instance, "1", 1);
    finish(jobs[1].instance, "2", 2);
    change("mine");
    for (int i = 0; i < 2; i++) {
        host.cleared.clear();
        ASSERT_TRUE(router.take_job(now, 8).has_value());
        EXPECT_EQ(host.cleared.size(), 2u);
    }
}

TEST_F(InvokerTest, a_subscription_ends_with_its_role_and_others_go_on) {
    subscribe_as(ann, 1, "mine");
    subscribe_as(admin, 2, "mine");
    subscribe_as(ann, 3, "ours");
    subscribe_as(admin, 4, "ours");
    host.take();
    host.dropped_roles = {10};
    apply();
    std::set<uint64_t> ended;
    for (const link::Ended &end : host.take_all<link::Ended>())
        ended.insert(end.subscription);
    EXPECT_EQ(ended, (std::set<uint64_t>{1, 3}));
    router.forget_gateway(0, now);
    EXPECT_TRUE(host.interest.empty());
}

TEST_F(InvokerTest, a_role_that_may_not_read_what_the_query_reads_is_told) {
    subscribe_as(ann, 1, "mine");
    subscribe_as(admin, 2, "mine");
    auto of = instances();
    ASSERT_EQ(jobs_due(), 2u);
    router.finish_job(
        of[1], {QueryOutcome::Status::forbidden, "permission denied for table t", 0, 0}, now);
    auto ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].subscription, 1u);
    EXPECT_EQ(ended[0].code, CloseCode::forbidden);
    EXPECT_EQ(ended[0].reason, "permission denied for table t");
    finish(of[2], "1", 1);
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u);
}

// ---- significant ----

class SignificantTest : public RouterTest {
  protected:
    SignificantTest() {
        add("measured", TopicKind::state).significant = "public.moved";
        apply();
        subscribe(1, "measured");
        jobs_due();
        finish(jobs[0].instance, "100", 100);
        host.take();
    }
    // A change, and what its query finds.
    void run(const std::string &text, bool is_significant, const std::string &warning = {}) {
        change("measured");
        ASSERT_EQ(jobs_due(), 1u);
        router.finish_job(jobs.back().instance,
                          {.status = QueryOutcome::Status::ok,
                           .text = text,
                           .hash = std::hash<std::string>{}(text),
                           .is_significant = is_significant,
                           .warning = warning},
                          now);
        router.finish_turn(now);
    }
};

TEST_F(SignificantTest, every_query_after_the_first_is_given_the_last_state_sent) {
    EXPECT_EQ(jobs[0].last_message, "");
    run("105", false);
    EXPECT_EQ(json_member(jobs.back().last_message, "data"), "100");
    run("120", true);
    EXPECT_EQ(json_member(jobs.back().last_message, "data"), "100");
    run("121", false);
    EXPECT_EQ(json_member(jobs.back().last_message, "data"), "120");
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(json_member(sent[0].body, "data"), "120");
}

TEST_F(SignificantTest, a_topic_without_the_function_carries_no_state_along) {
    add("plain", TopicKind::state);
    apply();
    subscribe(2, "plain");
    jobs_due();
    finish(jobs.back().instance, "1", 1);
    change("plain");
    ASSERT_EQ(jobs_due(), 1u);
    EXPECT_EQ(jobs.back().last_message, "");
}

TEST_F(SignificantTest, a_new_subscriber_makes_everybody_get_what_was_held_back) {
    run("105", false);
    EXPECT_TRUE(host.take_all<link::Message>().empty());
    subscribe(2, "measured");
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 2u);
    EXPECT_EQ(sent[0].audience, Audience::live);
    EXPECT_EQ(sent[1].audience, Audience::waiting);
    EXPECT_EQ(sent[0].body, sent[1].body);
    EXPECT_EQ(json_member(sent[0].body, "data"), "105");
    subscribe(3, "measured");
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u) << "nothing is held back any more";
}

TEST_F(SignificantTest, a_state_that_returns_to_the_last_one_sent_holds_nothing_back) {
    run("105", false);
    change("measured");
    jobs_due();
    finish(jobs.back().instance, "100", 100);
    subscribe(2, "measured");
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(json_member(sent[0].body, "data"), "100");
}

TEST_F(SignificantTest, a_result_compared_with_what_is_no_longer_the_last_sent_is_sent) {
    run("105", false);
    change("measured");
    ASSERT_EQ(jobs_due(), 1u);
    subscribe(2, "measured"); // 105 is sent while the query compares with 100
    host.take();
    router.finish_job(
        jobs.back().instance,
        {.status = QueryOutcome::Status::ok, .text = "95", .hash = 95, .is_significant = false},
        now);
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(json_member(sent[0].body, "data"), "95");
}

TEST_F(SignificantTest, a_subscriber_that_comes_before_the_query_is_owed_its_result) {
    change("measured");
    ASSERT_EQ(jobs_due(), 1u);
    change("measured");
    subscribe(2, "measured"); // greeted with 100, which a committed change has already replaced
    host.take();
    auto finish_insignificant = [&](const std::string &text) {
        router.finish_job(jobs.back().instance,
                          {.status = QueryOutcome::Status::ok,
                           .text = text,
                           .hash = std::hash<std::string>{}(text),
                           .is_significant = false},
                          now);
        router.finish_turn(now);
        return host.take_all<link::Message>().size();
    };
    EXPECT_EQ(finish_insignificant("101"), 1u);
    ASSERT_EQ(jobs_due(), 1u);
    EXPECT_EQ(finish_insignificant("102"), 1u) << "the change before the subscription was in this";
    change("measured");
    ASSERT_EQ(jobs_due(), 1u);
    EXPECT_EQ(finish_insignificant("103"), 0u);
}

TEST_F(SignificantTest, after_a_broadcast_nothing_is_compared) {
    broadcast("measured", "0");
    change("measured");
    ASSERT_EQ(jobs_due(), 1u);
    EXPECT_EQ(jobs.back().last_message, "");
}

TEST_F(SignificantTest, a_function_that_fails_is_logged_when_it_begins_to) {
    run("1", true, "division by zero");
    run("2", true, "division by zero");
    ASSERT_EQ(host.warnings.size(), 1u);
    EXPECT_NE(host.warnings[0].find("topic \"measured\" failed: division by zero"),
              std::string::npos);
    run("3", false);
    run("4", true, "division by zero");
    EXPECT_EQ(host.warnings.size(), 2u);
    EXPECT_EQ(host.take_all<link::Message>().size(), 3u);
}

TEST_F(RouterTest, a_change_while_the_query_runs_makes_it_run_again) {
    add("list", TopicKind::state);
    apply();
    subscribe(1, "list");
    ASSERT_EQ(jobs_due(), 1u);
    change("list");
    change("list");
    EXPECT_EQ(jobs_due(), 0u);
    finish(jobs[0].instance, "[1]", 11);
    EXPECT_EQ(jobs_due(), 1u);
}

TEST_F(RouterTest, a_broadcast_on_a_state_topic_reaches_live_clients_and_the_next_state_is_sent) {
    add("queue", TopicKind::state);
    apply();
    subscribe(1, "queue");
    jobs_due();
    finish(jobs[0].instance, "[1]", 11);
    host.take();
    broadcast("queue", "[9]");
    EXPECT_NE(host.take_all<link::Message>().at(0).body.find(R"("kind":"event")"),
              std::string::npos);
    change("queue");
    jobs_due();
    finish(jobs[1].instance, "[1]", 11);
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u) << "clients show the broadcast's data";
}

TEST_F(RouterTest, an_unknown_parameter_of_an_event_matches_every_instance) {
    add("generation", TopicKind::state).parameters = {"project", "session"};
    apply();
    subscribe(1, "generation", {"7", "a"});
    subscribe(2, "generation", {"8", "a"});
    subscribe(3, "generation", {"8", "b"});
    jobs_due();
    for (const QueryJob &job : std::vector(jobs))
        finish(job.instance, "1", 1);
    jobs.clear();
    change("generation", {std::nullopt, "a"});
    EXPECT_EQ(jobs_due(), 2u);
    for (const QueryJob &job : jobs)
        EXPECT_EQ(job.params[1], "a");
}

TEST_F(RouterTest, an_event_topic_sends_each_event_to_its_instance_only) {
    add("chat", TopicKind::event).parameters = {"room"};
    apply();
    subscribe(1, "chat", {"red"});
    subscribe(2, "chat", {"blue"});
    host.take();
    broadcast("chat", "\"hello\"", {"red"});
    auto messages = host.take_all<link::Message>();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_NE(messages[0].body.find(R"("params":["red"])"), std::string::npos);
}

TEST_F(RouterTest, lost_events_query_states_again_and_are_told_on_event_topics) {
    add("list", TopicKind::state);
    add("clicks", TopicKind::event);
    add("other", TopicKind::event);
    apply();
    subscribe(1, "list");
    subscribe(2, "clicks");
    subscribe(3, "other");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    host.take();
    router.handle_loss(
        [](uint64_t key) { return key == topic_key("list") || key == topic_key("clicks"); },
        "the queue was full", now);
    router.finish_turn(now);
    EXPECT_EQ(jobs_due(), 1u);
    auto messages = host.take_all<link::Message>();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_NE(messages[0].body.find(R"("type":"rtd_gap","data":{"reason": "the queue was full"})"),
              std::string::npos);
    EXPECT_NE(messages[0].body.find(R"("topic":"clicks")"), std::string::npos);
}

TEST_F(RouterTest, a_transaction_beyond_its_bound_is_one_gap_for_every_instance) {
    add("chat", TopicKind::event).parameters = {"room"};
    apply();
    subscribe(1, "chat", {"red"});
    subscribe(2, "chat", {"blue"});
    host.take();
    Event lost;
    lost.kind = EventKind::lost;
    lost.topic = "chat";
    lost.payload = R"({"reason": "too many"})";
    router.handle(lost, now);
    EXPECT_EQ(host.take_all<link::Message>().size(), 2u);
}

TEST_F(RouterTest, a_retained_message_meets_later_subscribers_and_is_kept_until_stored) {
    add("routes", TopicKind::event).retain = true;
    apply();
    broadcast("routes", "[1]");
    broadcast("routes", "[2]");
    auto unstored = router.unstored_messages(100, 1 << 20);
    ASSERT_EQ(unstored.size(), 1u) << "only the newest";
    EXPECT_NE(unstored[0].message.find(R"("data":[2])"), std::string::npos);
    subscribe(1, "routes");
    EXPECT_EQ(host.take_all<link::Message>().at(0).body, unstored[0].message);
    broadcast("routes", "[3]");
    router.mark_stored(unstored[0].instance, unstored[0].sequence);
    EXPECT_TRUE(router.has_unstored_messages()) << "a newer one came meanwhile";
    auto newer = router.unstored_messages(100, 1 << 20).at(0);
    router.mark_stored(newer.instance, newer.sequence);
    EXPECT_FALSE(router.has_unstored_messages());
}

TEST_F(RouterTest, a_stored_retained_message_is_read_for_the_first_subscriber) {
    add("routes", TopicKind::event).retain = true;
    host.stored["routes"] =
        R"({"type":"t","data":{"id":"1-1"},"timestamp":"x","id":"1-1","kind":"event"})";
    apply();
    subscribe(1, "routes");
    auto first = host.take_all<link::Message>().at(0);
    EXPECT_EQ(first.id, "100-1") << "an id of this epoch";
    EXPECT_EQ(first.body,
              R"({"type":"t","data":{"id":"1-1"},"timestamp":"x","id":"100-1","kind":"event"})");
}

TEST_F(RouterTest, a_subscriber_of_an_event_topic_without_a_message_is_live_at_once) {
    add("clicks", TopicKind::event);
    apply();
    subscribe(1, "clicks");
    EXPECT_FALSE(host.take_all<link::Subscribed>().at(0).awaits_first);
    broadcast("clicks", "1");
    EXPECT_EQ(host.take_all<link::Message>().at(0).audience, Audience::live);
}

TEST_F(RouterTest, a_failing_query_is_logged_and_tried_again_later) {
    add("broken", TopicKind::state);
    apply();
    subscribe(1, "broken");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    change("broken");
    jobs_due();
    router.finish_job(jobs[0].instance, {QueryOutcome::Status::failed, "division by zero", 0, 0},
                      now);
    router.finish_turn(now);
    ASSERT_EQ(host.warnings.size(), 1u);
    EXPECT_NE(host.warnings[0].find("Error broadcasting broken_update update: division by zero"),
              std::string::npos);
    EXPECT_EQ(jobs_due(), 0u);
    pass(1000);
    EXPECT_EQ(jobs_due(), 1u);
}

TEST_F(RouterTest, subscribers_are_told_of_a_failing_query_but_not_what_it_said) {
    add("broken", TopicKind::state).parameters = {"id"};
    apply();
    subscribe(1, "broken", {"7"});
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    change("broken", {"7"});
    jobs_due();
    host.take();
    QueryOutcome outcome{QueryOutcome::Status::failed, "invalid input: \"secret\"", 0, 0};
    outcome.sqlstate = "22P02";
    router.finish_job(jobs[0].instance, outcome, now);
    auto told = host.take_all<link::Control>();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].instance, jobs[0].instance);
    EXPECT_EQ(told[0].body.find("secret"), std::string::npos);
    EXPECT_EQ(json_member(told[0].body, "type"), "rtd_error");
    EXPECT_EQ(json_member(told[0].body, "topic"), "broken");
    EXPECT_EQ(json_member(told[0].body, "data"),
              R"({"code":4500,"message":"the topic's query failed (SQLSTATE 22P02); the server )"
              R"(tries again"})");
    pass(1000);
    jobs_due();
    router.unsubscribe(1, now);
    router.finish_job(jobs[0].instance, outcome, now);
    EXPECT_TRUE(host.take_all<link::Control>().empty()) << "nobody is left to be told";
}

TEST_F(RouterTest, a_parameter_the_query_cannot_take_ends_its_subscribers) {
    add("status", TopicKind::state).parameters = {"id"};
    apply();
    subscribe(1, "status", {"abc"});
    jobs_due();
    router.finish_job(jobs[0].instance,
                      {QueryOutcome::Status::bad_parameter, "invalid input", 0, 0}, now);
    auto ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].code, CloseCode::bad_request);
    EXPECT_TRUE(host.interest.empty());
}

TEST_F(RouterTest, a_slow_topic_leaves_workers_to_others) {
    add("slow", TopicKind::state).parameters = {"n"};
    add("fast", TopicKind::state);
    apply();
    subscribe(1, "slow", {"1"});
    subscribe(2, "slow", {"2"});
    subscribe(3, "fast");
    EXPECT_EQ(router.take_job(now, 1)->topic->name, "slow");
    EXPECT_EQ(router.take_job(now, 1)->topic->name, "fast");
    EXPECT_FALSE(router.take_job(now, 1).has_value());
}

TEST_F(RouterTest, the_refresh_timer_polls_only_while_somebody_subscribes) {
    add("clock", TopicKind::state).refresh_ms = 1000;
    apply();
    subscribe(1, "clock");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    host.take();
    pass(1000);
    ASSERT_EQ(jobs_due(), 1u);
    finish(jobs[1].instance, "2", 2);
    EXPECT_NE(host.take_all<link::Message>().at(0).body.find(R"("source":"poll")"),
              std::string::npos);
    router.unsubscribe(1, now);
    pass(5000);
    EXPECT_EQ(jobs_due(), 0u);
}

TEST_F(RouterTest, a_topic_without_events_is_synced_after_the_interval) {
    add("quiet", TopicKind::state);
    apply();
    router.set_settings({.resync_interval_ms = 300'000});
    subscribe(1, "quiet");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    host.take();
    pass(299'999);
    EXPECT_EQ(jobs_due(), 0u);
    pass(1);
    ASSERT_EQ(jobs_due(), 1u);
    finish(jobs[1].instance, "1", 1);
    EXPECT_TRUE(host.take_all<link::Message>().empty()) << "compared, and equal";
}

// A reload used to reach only topics that were subscribed after it.
TEST_F(RouterTest, a_shorter_resync_interval_holds_for_those_already_subscribed) {
    add("quiet", TopicKind::state);
    apply();
    router.set_settings({.resync_interval_ms = 300'000});
    subscribe(1, "quiet");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    router.set_settings({.resync_interval_ms = 1000});
    pass(1000);
    EXPECT_EQ(jobs_due(), 1u);
}

TEST_F(RouterTest, dropping_or_reshaping_a_topic_ends_its_subscriptions) {
    for (const char *name : {"dropped", "parameters", "kind", "security"})
        add(name, TopicKind::state);
    apply();
    subscribe(1, "dropped");
    subscribe(2, "parameters");
    subscribe(3, "kind");
    subscribe(4, "security");
    host.take();
    topics.erase("dropped");
    alter("parameters").parameters = {"id"};
    alter("kind").kind = TopicKind::keyed;
    alter("security").is_invoker = true;
    apply();
    std::map<uint64_t, CloseCode> codes;
    for (const link::Ended &end : host.take_all<link::Ended>())
        codes[end.subscription] = end.code;
    EXPECT_EQ(codes, (std::map<uint64_t, CloseCode>{{1, CloseCode::topic_dropped},
                                                    {2, CloseCode::topic_changed},
                                                    {3, CloseCode::topic_changed},
                                                    {4, CloseCode::topic_changed}}));
    EXPECT_TRUE(host.interest.empty());
}

TEST_F(RouterTest, those_who_subscribe_get_the_state_of_the_altered_query_even_if_it_is_equal) {
    add("one", TopicKind::state).query = "SELECT 1";
    apply();
    subscribe(1, "one");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    host.take();
    alter("one").query = "SELECT 2 - 1";
    apply();
    subscribe(2, "one"); // must not be greeted with the result of the old query
    EXPECT_TRUE(host.take_all<link::Message>().empty());
    ASSERT_EQ(jobs_due(), 1u);
    EXPECT_EQ(jobs[1].topic->query, "SELECT 2 - 1");
    finish(jobs[1].instance, "1", 1);
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 2u);
    EXPECT_EQ(sent[0].audience, Audience::live);
    EXPECT_EQ(sent[1].audience, Audience::waiting);
    EXPECT_EQ(sent[0].id, sent[1].id);
}

TEST_F(RouterTest, a_result_of_the_query_before_is_neither_sent_nor_held_against_the_subscribers) {
    for (auto status : {QueryOutcome::Status::ok, QueryOutcome::Status::failed,
                        QueryOutcome::Status::bad_parameter}) {
        add("one", TopicKind::state).query = "SELECT 1";
        apply();
        subscribe(1, "one");
        ASSERT_EQ(jobs_due(), 1u);
        alter("one").query = "SELECT 2";
        apply();
        EXPECT_EQ(jobs_due(), 0u) << "one run at a time";
        host.take();
        router.finish_job(jobs.back().instance, {status, "1", 1, 0}, now);
        router.finish_turn(now);
        EXPECT_TRUE(host.take().empty());
        EXPECT_TRUE(host.warnings.empty());
        ASSERT_EQ(jobs_due(), 1u);
        EXPECT_EQ(jobs.back().topic->query, "SELECT 2");
        finish(jobs.back().instance, "2", 2);
        EXPECT_EQ(host.take_all<link::Message>().size(), 1u);
        topics.clear();
        apply();
    }
}

TEST_F(RouterTest, intervals_of_an_altered_topic_just_apply) {
    add("one", TopicKind::state).throttle_ms = 60'000;
    apply();
    subscribe(1, "one");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    host.take();
    alter("one").throttle_ms = 0;
    std::const_pointer_cast<Topic>(topics["one"])->refresh_ms = 5000;
    apply();
    pass(0);
    ASSERT_EQ(jobs_due(), 1u) << "compared once, in case more than intervals was altered";
    finish(jobs[1].instance, "1", 1);
    EXPECT_TRUE(host.take_all<link::Message>().empty()) << "it is equal";
    change("one");
    EXPECT_EQ(jobs_due(), 1u);
    finish(jobs[2].instance, "2", 2);
    pass(4999);
    EXPECT_EQ(jobs_due(), 0u);
    pass(1);
    EXPECT_EQ(jobs_due(), 1u);
}

TEST_F(RouterTest,
       an_altered_event_topic_keeps_its_subscribers_and_forgets_what_it_may_not_retain) {
    add("news", TopicKind::event).retain = true;
    apply();
    subscribe(1, "news");
    broadcast("news", "1");
    EXPECT_TRUE(router.has_unstored_messages());
    Topic &topic = alter("news");
    topic.retain = false;
    topic.type = "other";
    apply();
    EXPECT_FALSE(router.has_unstored_messages());
    host.take();
    broadcast("news", "2");
    auto sent = host.take_all<link::Message>();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(json_member(sent[0].body, "type"), "other");
    subscribe(2, "news");
    auto subscribed = host.take_all<link::Subscribed>();
    ASSERT_EQ(subscribed.size(), 1u);
    EXPECT_FALSE(subscribed[0].awaits_first);
}

TEST_F(RouterTest, a_refresh_does_not_wait_for_the_backoff_of_a_failed_query) {
    add("one", TopicKind::state);
    apply();
    subscribe(1, "one");
    jobs_due();
    finish(jobs[0].instance, "1", 1);
    change("one");
    jobs_due();
    router.finish_job(jobs[0].instance, {QueryOutcome::Status::failed, "broken", 0, 0}, now);
    change("one");
    EXPECT_EQ(jobs_due(), 0u);
    Event refresh;
    refresh.kind = EventKind::refresh;
    refresh.topic = "one";
    router.handle(refresh, now);
    router.finish_turn(now);
    EXPECT_EQ(jobs_due(), 1u);
}

TEST_F(RouterTest, a_revoked_grant_ends_the_subscription) {
    add("list", TopicKind::state);
    apply();
    subscribe(1, "list");
    host.take();
    host.forbidden = {"list"};
    apply();
    EXPECT_EQ(host.take_all<link::Ended>().at(0).code, CloseCode::forbidden);
}

TEST_F(RouterTest, an_instance_that_comes_back_never_repeats_an_id) {
    add("list", TopicKind::state);
    apply();
    std::set<std::string> bodies;
    for (uint64_t subscription = 1; subscription <= 3; subscription++) {
        subscribe(subscription, "list");
        jobs_due();
        finish(jobs.back().instance, "1", 1);
        bodies.insert(host.take_all<link::Message>().at(0).body);
        router.unsubscribe(subscription, now);
    }
    EXPECT_EQ(bodies.size(), 3u);
}

TEST_F(RouterTest, a_lost_gateway_leaves_no_interest_behind) {
    add("list", TopicKind::state);
    apply();
    for (uint64_t subscription = 1; subscription <= 10; subscription++)
        subscribe(subscription, "list");
    router.forget_gateway(0, now);
    EXPECT_EQ(router.subscription_count(), 0u);
    EXPECT_TRUE(host.interest.empty());
    jobs_due();
    EXPECT_EQ(router.next_deadline_ms(), std::nullopt);
}

TEST_F(RouterTest, a_lost_gateway_takes_its_own_subscriptions_along_and_no_others) {
    add("list", TopicKind::state);
    apply();
    for (uint64_t n = 1; n <= 3; n++) {
        subscribe(hub_id(1, n), "list");
        subscribe(hub_id(2, n), "list"); // the same ids as of the other
    }
    router.forget_gateway(1, now);
    EXPECT_EQ(router.subscription_count(), 3u);
    EXPECT_EQ(host.interest.begin()->second, 3);
    jobs_due();
    finish(jobs.back().instance, "1", 1);
    EXPECT_EQ(host.reached, std::set<GatewayNumber>{2});
    router.forget_gateway(2, now);
    EXPECT_TRUE(host.interest.empty());
}

TEST_F(RouterTest, a_message_goes_to_the_gateways_that_have_subscribers_and_to_no_others) {
    add("chat", TopicKind::event);
    add("news", TopicKind::event);
    apply();
    subscribe(hub_id(1, 1), "chat");
    subscribe(hub_id(2, 1), "chat");
    subscribe(hub_id(3, 1), "news");
    broadcast("chat", "1");
    EXPECT_EQ(host.reached, (std::set<GatewayNumber>{1, 2}));
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u) << "one frame, however many gateways";
    unsubscribe(hub_id(1, 1));
    broadcast("chat", "2");
    EXPECT_EQ(host.reached, std::set<GatewayNumber>{2});
    broadcast("news", "1");
    EXPECT_EQ(host.reached, std::set<GatewayNumber>{3});
}

TEST_F(RouterTest, a_first_message_goes_only_to_gateways_where_somebody_waits_for_it) {
    add("list", TopicKind::state);
    apply();
    subscribe(hub_id(1, 1), "list");
    jobs_due();
    finish(jobs.back().instance, "1", 1);
    host.take();
    subscribe(hub_id(2, 1), "list");
    ASSERT_EQ(host.take_all<link::Message>().size(), 1u);
    EXPECT_EQ(host.reached, std::set<GatewayNumber>{2});
}

TEST_F(RouterTest, the_log_lines_name_clients_operation_and_key) {
    add("chat", TopicKind::event);
    apply();
    change("chat");
    subscribe(1, "chat");
    change("chat");
    EXPECT_EQ(host.lines,
              (std::vector<std::string>{
                  R"([EVENT_DETECTION]  event received: {"operation":"UPDATE","id":1})",
                  "[EVENT_BROADCAST] Skipping chat_update broadcast - no active connections",
                  R"([EVENT_DETECTION]  event received: {"operation":"UPDATE","id":1})",
                  "[EVENT_BROADCAST] Broadcasted chat_update update to 1 clients "
                  "(operation=UPDATE, id=1)"}));
}

} // namespace
} // namespace rtd
