// Subscribers that come back with the id of their last message, and instances that wait for them.
#include "router_fixture.h"

#include "core/envelope.h"

namespace rtd {
namespace {

constexpr int64_t kLingerMs = 60'000;

std::vector<std::string> ids(const std::vector<link::Replayed> &replayed) {
    std::vector<std::string> found;
    for (const link::Replayed &message : replayed)
        found.push_back(message.id);
    return found;
}

template <class Frame> std::vector<Frame> all(const std::vector<link::HubFrame> &frames) {
    std::vector<Frame> found;
    for (const link::HubFrame &frame : frames)
        if (const Frame *match = std::get_if<Frame>(&frame))
            found.push_back(*match);
    return found;
}

class ResumeTest : public RouterTest {
  protected:
    ResumeTest() { router.set_settings({.linger_ms = kLingerMs}); }

    Topic &add_event(const std::string &name, int64_t history = 10, bool retain = false) {
        Topic &topic = add(name, TopicKind::event);
        topic.history = history;
        topic.retain = retain;
        apply();
        return topic;
    }
    // A state topic with one subscriber, 1, that has the state "1"; its id.
    std::string subscribed_state(const std::string &name) {
        add(name, TopicKind::state);
        apply();
        subscribe(1, name);
        jobs_due();
        finish(jobs.back().instance, "1", 1);
        return host.take_all<link::Message>().at(0).id;
    }
    void lose(const std::string &topic) {
        router.handle_loss([&](uint64_t key) { return key == topic_key(topic); }, "queue full",
                           now);
        router.finish_turn(now);
    }
};

// ---- event topics ----

TEST_F(ResumeTest, a_client_that_resumes_gets_exactly_what_it_missed_in_order) {
    add_event("chat");
    subscribe(1, "chat");
    broadcast("chat", "1");
    std::string since = host.take_all<link::Message>().at(0).id;
    router.unsubscribe(1, now);
    broadcast("chat", "2");
    broadcast("chat", "3");
    host.take();
    resume(2, "chat", since);
    auto frames = host.take();
    link::Subscribed answer = std::get<link::Subscribed>(frames.at(0));
    EXPECT_TRUE(answer.recovered);
    EXPECT_FALSE(answer.awaits_first);
    EXPECT_EQ(ids(all<link::Replayed>(frames)), (std::vector<std::string>{"100-2", "100-3"}));
    EXPECT_NE(std::get<link::Replayed>(frames.at(1)).body.find(R"("data":2)"), std::string::npos);
    EXPECT_EQ(frames.size(), 3u) << "and nothing else";
    broadcast("chat", "4");
    EXPECT_EQ(host.take_all<link::Message>().at(0).id, "100-4");
}

TEST_F(ResumeTest, who_missed_nothing_gets_nothing) {
    add_event("chat", 10, true);
    subscribe(1, "chat");
    broadcast("chat", "1");
    router.unsubscribe(1, now);
    host.take();
    resume(2, "chat", "100-1");
    auto frames = host.take();
    EXPECT_TRUE(std::get<link::Subscribed>(frames.at(0)).recovered);
    EXPECT_EQ(frames.size(), 1u) << "not the retained message again";
}

TEST_F(ResumeTest, a_gap_that_was_missed_is_replayed_as_well) {
    add_event("chat");
    subscribe(1, "chat");
    broadcast("chat", "1");
    router.unsubscribe(1, now);
    lose("chat");
    broadcast("chat", "3");
    host.take();
    resume(2, "chat", "100-1");
    auto replayed = host.take_all<link::Replayed>();
    ASSERT_EQ(replayed.size(), 2u);
    EXPECT_NE(replayed[0].body.find(R"("kind":"gap")"), std::string::npos);
    EXPECT_EQ(replayed[1].id, "100-3");
}

TEST_F(ResumeTest, beyond_the_history_comes_an_explicit_gap) {
    add_event("chat", 2);
    subscribe(1, "chat");
    for (int n = 1; n <= 5; n++)
        broadcast("chat", std::to_string(n));
    host.take();
    resume(2, "chat", "100-2");
    auto frames = host.take();
    EXPECT_FALSE(std::get<link::Subscribed>(frames.at(0)).recovered);
    auto replayed = all<link::Replayed>(frames);
    ASSERT_EQ(replayed.size(), 1u);
    EXPECT_EQ(replayed[0].subscription, 2u);
    EXPECT_EQ(replayed[0].id, "100-5") << "from here on it misses nothing";
    EXPECT_NE(replayed[0].body.find(
                  R"("type":"rtd_gap","data":{"reason": "more was missed than the server keeps"})"),
              std::string::npos);
    resume(3, "chat", "100-3");
    EXPECT_EQ(ids(host.take_all<link::Replayed>()), (std::vector<std::string>{"100-4", "100-5"}));
}

TEST_F(ResumeTest, the_history_is_bounded_in_bytes_too) {
    add_event("chat", 1000);
    router.set_settings({.linger_ms = kLingerMs, .history_bytes = 2500});
    subscribe(1, "chat");
    for (int n = 1; n <= 5; n++)
        broadcast("chat", '"' + std::string(1000, 'x') + '"');
    host.take();
    resume(2, "chat", "100-3");
    EXPECT_EQ(ids(host.take_all<link::Replayed>()), (std::vector<std::string>{"100-4", "100-5"}));
    resume(3, "chat", "100-2");
    EXPECT_FALSE(host.take_all<link::Subscribed>().at(0).recovered);
}

TEST_F(ResumeTest, another_epoch_or_the_future_is_a_gap_and_then_what_a_new_client_gets) {
    add_event("chat", 10, true);
    subscribe(1, "chat");
    broadcast("chat", "1");
    broadcast("chat", "2");
    host.take();
    for (const char *since : {"99-2", "100-3", "100-18446744073709551615"}) {
        resume(2, "chat", since);
        auto frames = host.take();
        ASSERT_EQ(frames.size(), 3u) << since;
        EXPECT_FALSE(std::get<link::Subscribed>(frames[0]).recovered);
        EXPECT_EQ(std::get<link::Replayed>(frames[1]).id, "100-1") << "before what follows";
        EXPECT_EQ(std::get<link::Message>(frames[2]).id, "100-2");
        EXPECT_EQ(std::get<link::Message>(frames[2]).audience, Audience::waiting);
        router.unsubscribe(2, now);
    }
}

TEST_F(ResumeTest, what_is_no_id_is_refused) {
    add_event("chat");
    for (const char *since : {"", "1", "-", "1-", "-1", "1-2-3", "a-b", "1-2 ", "+1-2", "1--2",
                              "99999999999999999999-1"}) {
        resume(1, "chat", since);
        auto ended = host.take_all<link::Ended>();
        if (*since == '\0') {
            EXPECT_TRUE(ended.empty()) << "none is named";
            continue;
        }
        ASSERT_EQ(ended.size(), 1u) << since;
        EXPECT_EQ(ended[0].code, CloseCode::bad_request);
        EXPECT_EQ(ended[0].reason, kBadSince);
    }
    EXPECT_EQ(router.subscription_count(), 1u);
}

TEST_F(ResumeTest, without_history_only_the_newest_id_can_be_resumed_from) {
    add_event("chat", 0);
    subscribe(1, "chat");
    broadcast("chat", "1");
    broadcast("chat", "2");
    host.take();
    resume(2, "chat", "100-2");
    EXPECT_TRUE(host.take_all<link::Subscribed>().at(0).recovered);
    resume(3, "chat", "100-1");
    EXPECT_FALSE(host.take_all<link::Subscribed>().at(0).recovered);
}

// ---- lost events and retained messages ----

// It used to get the older message without a word.
TEST_F(ResumeTest, after_a_loss_a_new_subscriber_gets_the_retained_message_and_then_the_gap) {
    add_event("routes", 10, true);
    subscribe(1, "routes");
    broadcast("routes", "1");
    lose("routes");
    host.take();
    subscribe(2, "routes");
    auto frames = host.take();
    EXPECT_FALSE(std::get<link::Subscribed>(frames.at(0)).awaits_first);
    auto replayed = all<link::Replayed>(frames);
    EXPECT_EQ(ids(replayed), (std::vector<std::string>{"100-1", "100-2"}));
    EXPECT_NE(replayed.at(1).body.find(R"("kind":"gap")"), std::string::npos);
    broadcast("routes", "3");
    host.take();
    subscribe(3, "routes");
    EXPECT_EQ(host.take_all<link::Message>().at(0).id, "100-3") << "newer than the loss";
    EXPECT_TRUE(host.take_all<link::Replayed>().empty());
}

TEST_F(ResumeTest, a_loss_is_remembered_also_if_nobody_was_there) {
    add_event("routes", 10, true);
    broadcast("routes", "1");
    RetainedMessage stored = router.unstored_messages(100, 1 << 20).at(0);
    host.stored["routes"] = stored.message;
    router.mark_stored(stored.instance, stored.sequence);
    ASSERT_EQ(router.instance_count(), 0u);
    pass(10);
    lose("routes");
    subscribe(1, "routes");
    auto replayed = host.take_all<link::Replayed>();
    EXPECT_EQ(ids(replayed), (std::vector<std::string>{"101-1", "101-2"}));
    EXPECT_NE(replayed.at(1).body.find("queue full"), std::string::npos);
}

TEST_F(ResumeTest, a_loss_before_the_stored_message_does_not_matter) {
    add_event("routes", 10, true);
    Event lost;
    lost.kind = EventKind::lost;
    lost.topic = "routes";
    lost.payload = R"({"reason": "too many"})";
    router.handle(lost, now);
    pass(10);
    broadcast("routes", "1");
    RetainedMessage stored = router.unstored_messages(100, 1 << 20).at(0);
    host.stored["routes"] = stored.message;
    router.mark_stored(stored.instance, stored.sequence);
    subscribe(1, "routes");
    EXPECT_TRUE(host.take_all<link::Replayed>().empty());
}

TEST_F(ResumeTest, without_retain_a_new_subscriber_hears_of_no_earlier_loss) {
    add_event("clicks");
    subscribe(1, "clicks");
    lose("clicks");
    host.take();
    subscribe(2, "clicks");
    EXPECT_EQ(host.take().size(), 1u);
}

// ---- state topics ----

TEST_F(ResumeTest, who_has_the_newest_state_gets_nothing_and_is_live) {
    std::string newest = subscribed_state("list");
    resume(2, "list", newest);
    auto frames = host.take();
    EXPECT_TRUE(std::get<link::Subscribed>(frames.at(0)).recovered);
    EXPECT_EQ(frames.size(), 1u);
    EXPECT_EQ(jobs_due(), 0u);
}

TEST_F(ResumeTest, who_has_an_older_state_gets_the_newest_one) {
    std::string first = subscribed_state("list");
    change("list");
    jobs_due();
    finish(jobs.back().instance, "2", 2);
    host.take();
    resume(2, "list", first);
    auto frames = host.take();
    EXPECT_FALSE(std::get<link::Subscribed>(frames.at(0)).recovered);
    EXPECT_NE(std::get<link::Message>(frames.at(1)).body.find(R"("data":2)"), std::string::npos);
}

TEST_F(ResumeTest, who_resumes_while_the_state_may_have_changed_is_where_those_are_who_stayed) {
    std::string newest = subscribed_state("list");
    router.unsubscribe(1, now);
    change("list");
    EXPECT_EQ(jobs_due(), 0u) << "nobody subscribes";
    resume(2, "list", newest);
    EXPECT_TRUE(host.take_all<link::Subscribed>().at(0).recovered);
    ASSERT_EQ(jobs_due(), 1u);
    finish(jobs.back().instance, "1", 1);
    EXPECT_TRUE(host.take_all<link::Message>().empty()) << "it has this state";
    change("list");
    jobs_due();
    finish(jobs.back().instance, "2", 2);
    EXPECT_EQ(host.take_all<link::Message>().at(0).audience, Audience::live);
}

TEST_F(ResumeTest, a_state_from_before_a_change_is_not_shown_to_who_comes_next) {
    subscribed_state("list");
    router.unsubscribe(1, now);
    change("list");
    pass(30'000);
    subscribe(2, "list");
    EXPECT_TRUE(host.take_all<link::Message>().empty());
    ASSERT_EQ(jobs_due(), 1u);
    finish(jobs.back().instance, "1", 1);
    EXPECT_EQ(host.take_all<link::Message>().at(0).audience, Audience::waiting)
        << "an equal result, but its first message";
    router.unsubscribe(2, now);
    change("list");
    subscribe(3, "list");
    pass(100);
    jobs_due();
    finish(jobs.back().instance, "2", 2);
    EXPECT_NE(host.take_all<link::Message>().at(0).body.find(R"("source":"sync")"),
              std::string::npos)
        << "queried for the first subscriber";
}

TEST_F(ResumeTest, a_kept_state_without_a_change_costs_no_query) {
    subscribed_state("list");
    router.forget_gateway(0, now);
    for (uint64_t subscription = 10; subscription < 1000; subscription++)
        router.subscribe({subscription, subscription, "list", {}, {}}, {}, now);
    router.finish_turn(now);
    EXPECT_EQ(jobs_due(), 0u);
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u);
}

TEST_F(ResumeTest, timers_stand_still_without_a_subscriber_and_are_made_up_for) {
    add("clock", TopicKind::state).refresh_ms = 1000;
    apply();
    subscribe(1, "clock");
    jobs_due();
    finish(jobs.back().instance, "1", 1);
    host.take();
    router.unsubscribe(1, now);
    EXPECT_EQ(router.next_deadline_ms(), now.steady_ms + kLingerMs) << "only the end of lingering";
    pass(5000);
    EXPECT_EQ(jobs_due(), 0u);
    subscribe(2, "clock");
    EXPECT_TRUE(host.take_all<link::Message>().empty()) << "it is older than the refresh";
    EXPECT_EQ(jobs_due(), 1u);
}

TEST_F(ResumeTest, a_query_that_waits_for_a_worker_is_not_run_when_the_last_subscriber_leaves) {
    add("list", TopicKind::state);
    apply();
    subscribe(1, "list");
    pass(0);
    router.unsubscribe(1, now);
    EXPECT_EQ(jobs_due(), 0u);
    EXPECT_EQ(router.next_deadline_ms(), now.steady_ms + kLingerMs);
    subscribe(2, "list");
    EXPECT_EQ(jobs_due(), 1u) << "and is not forgotten";
}

TEST_F(ResumeTest, the_result_of_a_query_that_nobody_waits_for_any_more_is_kept) {
    add("list", TopicKind::state);
    apply();
    subscribe(1, "list");
    jobs_due();
    router.unsubscribe(1, now);
    finish(jobs.back().instance, "1", 1);
    subscribe(2, "list");
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u);
    EXPECT_EQ(jobs_due(), 0u);
}

// ---- lingering ----

TEST_F(ResumeTest, an_instance_lingers_with_its_interest_and_then_goes) {
    add_event("chat");
    subscribe(1, "chat");
    router.unsubscribe(1, now);
    EXPECT_TRUE(host.interest.empty()) << "it is no subscriber";
    EXPECT_EQ(host.lingering.size(), 2u) << "but events must be made";
    EXPECT_EQ(router.next_deadline_ms(), now.steady_ms + kLingerMs);
    pass(kLingerMs - 1);
    EXPECT_EQ(router.instance_count(), 1u);
    pass(1);
    EXPECT_EQ(router.instance_count(), 0u);
    EXPECT_TRUE(host.lingering.empty());
    EXPECT_EQ(router.next_deadline_ms(), std::nullopt);
}

TEST_F(ResumeTest, who_comes_back_ends_the_lingering) {
    add_event("chat");
    subscribe(1, "chat");
    router.unsubscribe(1, now);
    subscribe(2, "chat");
    EXPECT_TRUE(host.lingering.empty());
    EXPECT_EQ(host.interest.size(), 2u);
    pass(2 * kLingerMs);
    EXPECT_EQ(router.instance_count(), 1u);
}

TEST_F(ResumeTest, after_a_lost_gateway_everything_lingers) {
    add_event("chat");
    subscribed_state("list");
    subscribe(2, "chat");
    router.forget_gateway(0, now);
    EXPECT_EQ(router.instance_count(), 2u);
    EXPECT_TRUE(host.interest.empty());
    broadcast("chat", "1");
    host.take();
    resume(3, "chat", "101-0");
    EXPECT_EQ(host.take_all<link::Replayed>().size(), 1u);
}

TEST_F(ResumeTest, nothing_lingers_without_history_or_where_it_is_turned_off) {
    add_event("chat", 0);
    subscribe(1, "chat");
    router.unsubscribe(1, now);
    EXPECT_EQ(router.instance_count(), 0u);
    router.set_settings({.linger_ms = 0});
    add_event("other", 10);
    subscribe(2, "other");
    router.unsubscribe(2, now);
    EXPECT_EQ(router.instance_count(), 0u);
    EXPECT_TRUE(host.lingering.empty());
}

TEST_F(ResumeTest, a_shorter_lingering_holds_for_those_who_linger_already) {
    add_event("chat");
    subscribe(1, "chat");
    router.unsubscribe(1, now);
    pass(5000);
    router.set_settings({.linger_ms = 4000});
    router.finish_turn(now);
    EXPECT_EQ(router.instance_count(), 0u);
}

TEST_F(ResumeTest, the_oldest_go_when_too_many_linger) {
    add_event("chat").parameters = {"room"};
    apply();
    for (uint64_t room = 1; room <= 10'001; room++) {
        router.subscribe({room, room, "chat", {std::to_string(room)}, {}}, {}, now);
        router.unsubscribe(room, now);
        now.steady_ms++;
    }
    router.finish_turn(now);
    EXPECT_EQ(router.instance_count(), 10'000u);
    EXPECT_FALSE(host.lingering.contains(instance_key("chat", {"1"})));
    EXPECT_TRUE(host.lingering.contains(instance_key("chat", {"2"})));
}

TEST_F(ResumeTest, the_oldest_go_when_those_who_linger_keep_too_much) {
    add("report", TopicKind::state).parameters = {"n"};
    apply();
    std::string large = '"' + std::string(10 << 20, 'x') + '"';
    for (uint64_t n = 1; n <= 8; n++) {
        subscribe(n, "report", {std::to_string(n)});
        jobs_due();
        finish(jobs.back().instance, large, n);
        unsubscribe(n);
        pass(1);
    }
    EXPECT_EQ(router.instance_count(), 6u) << "of 10 MB each within 64 MB";
    EXPECT_TRUE(host.lingering.contains(instance_key("report", {"8"})));
}

TEST_F(ResumeTest, those_who_linger_make_room_for_a_subscriber) {
    add_event("chat").parameters = {"room"};
    apply();
    subscribe(1, "chat", {"1"});
    router.unsubscribe(1, now);
    host.full = true;
    subscribe(2, "chat", {"2"});
    EXPECT_EQ(host.take_all<link::Ended>().at(0).code, CloseCode::too_many);
    EXPECT_TRUE(host.lingering.empty()) << "they were asked to leave first";
}

TEST_F(ResumeTest, a_topic_that_is_dropped_or_reshaped_lingers_no_longer) {
    add_event("one");
    add_event("two");
    add_event("three");
    for (uint64_t subscription : {1, 2, 3})
        subscribe(subscription, subscription == 1 ? "one" : subscription == 2 ? "two" : "three");
    router.forget_gateway(0, now);
    topics.erase("one");
    alter("two").parameters = {"id"};
    alter("three").type = "another"; // may go on, so whoever comes back finds its history
    apply();
    EXPECT_EQ(router.instance_count(), 1u);
    EXPECT_EQ(host.lingering.size(), 2u) << "its instance and its topic";
}

TEST_F(ResumeTest, a_topic_that_is_altered_lingers_on_and_is_queried_for_who_comes_back) {
    std::string newest = subscribed_state("list");
    router.unsubscribe(1, now);
    alter("list").query = "SELECT 2";
    apply();
    EXPECT_EQ(jobs_due(), 0u) << "nobody subscribes";
    resume(2, "list", newest);
    EXPECT_EQ(jobs_due(), 1u);
    finish(jobs.back().instance, "1", 1);
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u) << "of the new query, though equal";
}

// What is held back for those who stayed is the state of now for one who comes.
TEST_F(ResumeTest, who_waits_for_a_query_gets_its_result_also_if_it_is_not_significant) {
    add("list", TopicKind::state).significant = "public.moved";
    apply();
    subscribe(1, "list");
    jobs_due();
    finish(jobs.back().instance, "1", 1);
    router.unsubscribe(1, now);
    change("list");
    host.take();
    subscribe(2, "list");
    ASSERT_EQ(jobs_due(), 1u);
    QueryOutcome outcome{QueryOutcome::Status::ok, "2", 2, 0};
    outcome.is_significant = false;
    router.finish_job(jobs.back().instance, outcome, now);
    router.finish_turn(now);
    EXPECT_NE(host.take_all<link::Message>().at(0).body.find(R"("data":2)"), std::string::npos);
}

// The stored message is from before a time in which nothing was retained.
TEST_F(ResumeTest, a_topic_that_retains_again_starts_with_its_next_message) {
    add_event("routes", 10, true);
    host.stored["routes"] = R"({"data":0,"id":"1-1","kind":"event"})";
    subscribe(1, "routes");
    alter("routes").retain = false;
    apply();
    broadcast("routes", "1");
    alter("routes").retain = true;
    apply();
    host.take();
    subscribe(2, "routes");
    EXPECT_EQ(host.take().size(), 1u);
    broadcast("routes", "2");
    EXPECT_EQ(host.take_all<link::Message>().at(0).id, "100-3") << "without a hole";
}

TEST_F(ResumeTest, a_topic_made_anew_hears_nothing_of_the_losses_of_its_namesake) {
    add_event("routes", 10, true);
    lose("routes");
    alter("routes").generation++;
    apply();
    subscribe(1, "routes");
    EXPECT_EQ(host.take().size(), 1u);
}

TEST_F(ResumeTest, a_retained_message_that_is_stored_leaves_one_that_lingers_alone) {
    add_event("routes", 10, true);
    subscribe(1, "routes");
    broadcast("routes", "1");
    router.unsubscribe(1, now);
    RetainedMessage stored = router.unstored_messages(100, 1 << 20).at(0);
    router.mark_stored(stored.instance, stored.sequence);
    EXPECT_EQ(router.instance_count(), 1u);
    broadcast("routes", "2");
    pass(kLingerMs);
    EXPECT_EQ(router.instance_count(), 1u) << "its newest message is not stored yet";
    stored = router.unstored_messages(100, 1 << 20).at(0);
    router.mark_stored(stored.instance, stored.sequence);
    EXPECT_EQ(router.instance_count(), 0u);
}

} // namespace
} // namespace rtd
