// A topic with thousands of instances: whom an event is for, and that it does not hold up others.
// What an event costs is counted, not timed.
#include "router/alone_messages.h"
#include "router/fair_deadlines.h"
#include "router/ready_queue.h"
#include "router/unstored_instances.h"
#include "router/wide_events.h"
#include "router_fixture.h"

#include <algorithm>
#include <random>
#include <set>

namespace rtd {
namespace {

class ManyInstancesTest : public RouterTest {
  protected:
    // Subscriptions 1 to `count`, of the values that number them, and their first states.
    void subscribe_many(const std::string &topic, uint64_t count, uint64_t from = 1) {
        for (uint64_t n = from; n < from + count; n++)
            router.subscribe({n, n, topic, {std::to_string(n)}, {}}, {}, now);
        settle();
        host.take();
    }
    // All turns that are due now.
    void settle() {
        do {
            router.finish_turn(now);
            while (std::optional<QueryJob> job = router.take_job(now, 8))
                finish_job(*job);
        } while (router.next_deadline_ms().value_or(INT64_MAX) <= now.steady_ms);
    }
    void finish_job(const QueryJob &job) {
        uint64_t result = ++results;
        router.finish_job(job.instance,
                          {QueryOutcome::Status::ok, std::to_string(result), result, 0}, now);
    }
    void handle(EventKind kind, const std::string &topic,
                std::vector<std::optional<std::string>> params = {},
                const std::string &payload = "{}") {
        Event event;
        event.kind = kind;
        event.topic = topic;
        event.params = std::move(params);
        event.payload = payload;
        router.handle(event, now);
    }
    uint64_t results = 0;
};

// One topic's events for all instances once held up every other topic until all were told.
TEST_F(ManyInstancesTest, an_event_for_all_instances_is_told_in_portions) {
    add("news", TopicKind::event).parameters = {"id"};
    apply();
    subscribe_many("news", 5000);
    handle(EventKind::broadcast, "news", {}, "1");
    EXPECT_TRUE(host.take_all<link::Message>().empty());
    router.finish_turn(now);
    size_t first = host.take_all<link::Message>().size();
    EXPECT_GT(first, 0u);
    EXPECT_LT(first, 2000u);
    EXPECT_LE(*router.next_deadline_ms(), now.steady_ms) << "there is more to do";
    settle();
    EXPECT_EQ(first + host.take_all<link::Message>().size(), 5000u);
    EXPECT_FALSE(router.next_deadline_ms());
}

TEST_F(ManyInstancesTest, two_topics_take_turns_in_being_told) {
    add("large", TopicKind::event).parameters = {"id"};
    add("small", TopicKind::event).parameters = {"id"};
    apply();
    subscribe_many("large", 5000);
    subscribe_many("small", 400, 10'000);
    handle(EventKind::broadcast, "large", {}, "1");
    handle(EventKind::broadcast, "small", {}, "2");
    router.finish_turn(now);
    auto messages = host.take_all<link::Message>();
    EXPECT_EQ(std::ranges::count_if(messages,
                                    [](const auto &message) {
                                        return message.body.find(R"("topic":"small")") !=
                                               std::string::npos;
                                    }),
              400);
}

// Whatever waits for an instance comes before what is for it alone.
TEST_F(ManyInstancesTest, an_instance_hears_of_events_in_their_order) {
    add("news", TopicKind::event).parameters = {"id"};
    apply();
    subscribe_many("news", 3000);
    for (int n = 1; n <= 600; n++) // more than may wait
        handle(EventKind::broadcast, "news", {}, "\"all " + std::to_string(n) + "\"");
    handle(EventKind::broadcast, "news", {"2999"}, "\"one\"");
    handle(EventKind::broadcast, "news", {}, "\"last\"");
    settle();
    std::map<std::string, std::vector<std::string>> heard; // by parameters, the data
    for (const auto &message : host.take_all<link::Message>()) {
        const std::string &body = message.body;
        size_t data = body.find("\"data\":\"") + 8;
        heard[body.substr(body.find("\"params\":"), 20)].push_back(
            body.substr(data, body.find('"', data) - data));
    }
    EXPECT_EQ(heard.size(), 3000u);
    size_t with_one = 0;
    for (auto &[params, data] : heard) {
        ASSERT_EQ(data.back(), "last") << params;
        bool has_one = data.size() == 602;
        with_one += has_one;
        ASSERT_TRUE(has_one || data.size() == 601) << params;
        for (size_t n = 0; n < 600; n++)
            ASSERT_EQ(data[n], "all " + std::to_string(n + 1)) << params;
        if (has_one) {
            EXPECT_EQ(data[600], "one");
        }
    }
    EXPECT_EQ(with_one, 1u);
}

TEST_F(ManyInstancesTest, states_that_all_changed_often_wait_for_one_query_each) {
    add("status", TopicKind::state).parameters = {"id"};
    apply();
    subscribe_many("status", 2000);
    uint64_t before = results;
    for (int n = 0; n < 1000; n++)
        handle(EventKind::change, "status");
    settle();
    EXPECT_EQ(results - before, 2000u);
}

// A keyed topic's message is the difference between two snapshots: an event that its snapshot shows
// counts, also if the instance was not told of it yet.
TEST_F(ManyInstancesTest, a_query_that_ends_knows_of_what_waits_for_its_instance) {
    Topic &topic = add("items", TopicKind::keyed);
    topic.parameters = {"list"};
    topic.key = {"id"};
    apply();
    for (uint64_t n = 1; n <= 1000; n++)
        router.subscribe({n, n, "items", {std::to_string(n)}, {}}, {}, now);
    for (bool is_first = true;
         is_first || router.next_deadline_ms().value_or(INT64_MAX) <= now.steady_ms;
         is_first = false) {
        router.finish_turn(now);
        while (std::optional<QueryJob> job = router.take_job(now, 8)) {
            QueryOutcome all;
            all.status = QueryOutcome::Status::ok;
            all.has_all = true;
            router.finish_job(job->instance, all, now);
        }
    }
    auto changed = [&](const std::string &key, std::vector<std::optional<std::string>> params) {
        Event event;
        event.topic = "items";
        event.params = std::move(params);
        event.key = {key};
        event.version = 1;
        event.payload = "{}";
        router.handle(event, now);
    };
    changed("7", {"1000"});
    now.steady_ms += 1000;
    router.finish_turn(now);
    std::optional<QueryJob> job = router.take_job(now, 8);
    ASSERT_TRUE(job);
    changed("8", {}); // told to the first ones only, until its turn comes
    QueryOutcome open;
    open.status = QueryOutcome::Status::ok;
    open.is_open = true;
    std::optional<QueryJob> more = router.finish_job(job->instance, open, now);
    ASSERT_TRUE(more) << "row 8 must be read in the same snapshot";
}

// Thousands of instances whose query is due once were walked through for each job.
TEST_F(ManyInstancesTest, another_topics_query_is_the_next_but_one) {
    add("crowd", TopicKind::state).parameters = {"id"};
    add("other", TopicKind::state);
    apply();
    subscribe_many("crowd", 5000);
    subscribe(100'000, "other");
    settle();
    for (uint64_t n = 1; n <= 5000; n++)
        handle(EventKind::change, "crowd", {std::to_string(n)});
    router.finish_turn(now);
    change("other");
    bool found = false;
    for (int n = 0; n < 2 && !found; n++) {
        std::optional<QueryJob> job = router.take_job(now, 1);
        ASSERT_TRUE(job);
        found = job->topic->name == "other";
    }
    EXPECT_TRUE(found);
}

// ---- whom an event is for ----

// Against a look at all: any number of parameters, known or not.
TEST_F(ManyInstancesTest, an_event_reaches_those_that_agree_in_what_it_knows) {
    for (unsigned seed = 1; seed <= 60; seed++) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        auto below = [&](unsigned most) { return static_cast<unsigned>(random() % most); };
        const unsigned count = below(4);
        std::string topic = "t" + std::to_string(seed);
        Topic &made = add(topic, TopicKind::event);
        for (unsigned n = 0; n < count; n++)
            made.parameters.push_back("p" + std::to_string(n));
        add(topic + "x", TopicKind::event).parameters = made.parameters; // never concerned
        apply();
        auto value = [&] { return std::to_string(below(seed % 3 == 0 ? 40 : 4)); };
        std::map<uint64_t, std::vector<std::string>> subscribed;
        for (uint64_t n = 1; n <= 600; n++) {
            std::vector<std::string> params;
            for (unsigned i = 0; i < count; i++)
                params.push_back(value());
            uint64_t subscription = seed * 10'000 + n;
            router.subscribe({subscription, subscription, topic, params, {}}, {}, now);
            router.subscribe({subscription + 5000, subscription + 5000, topic + "x", params, {}},
                             {}, now);
            subscribed[subscription] = params;
            if (below(4) == 0) {
                auto gone = subscribed.begin();
                std::advance(gone, below(static_cast<unsigned>(subscribed.size())));
                router.unsubscribe(gone->first, now);
                subscribed.erase(gone);
            }
        }
        for (int n = 0; n < 40; n++) {
            settle();
            host.take();
            std::vector<std::optional<std::string>> pattern;
            for (unsigned i = 0; i < count && n > 0; i++)
                pattern.push_back(below(2) == 0 ? std::nullopt : std::optional(value()));
            std::set<std::vector<std::string>> expected;
            for (const auto &[subscription, params] : subscribed) {
                bool agrees = true;
                for (size_t i = 0; i < pattern.size(); i++)
                    agrees = agrees && (!pattern[i] || *pattern[i] == params[i]);
                if (agrees)
                    expected.insert(params);
            }
            handle(EventKind::broadcast, topic, pattern, "1");
            settle();
            EXPECT_EQ(host.take_all<link::Message>().size(), expected.size());
        }
    }
}

// Those that share topic and parameters, because each identity has its own, come and go one by one.
TEST_F(ManyInstancesTest, an_event_reaches_the_instances_of_all_identities) {
    add("mine", TopicKind::state).parameters = {"id"};
    alter("mine").is_invoker = true;
    apply();
    std::mt19937 random(5);
    std::set<uint32_t> subscribed;
    for (int step = 0; step < 300; step++) {
        uint32_t role = 1 + static_cast<uint32_t>(random() % 4);
        if (subscribed.erase(role) > 0) {
            router.unsubscribe(role, now);
        } else {
            subscribed.insert(role);
            router.subscribe({role, role, "mine", {"7"}, {}}, {role, "{}"}, now);
        }
        settle();
        now.steady_ms += 1000;
        settle();
        uint64_t before = results;
        handle(EventKind::change, "mine", {"7"});
        now.steady_ms += 1000;
        settle();
        ASSERT_EQ(results - before, subscribed.size()) << "queries at step " << step;
    }
}

// Nothing but the speed depends on what is expected.
TEST_F(ManyInstancesTest, expected_events_may_be_for_anybody_or_nobody) {
    add("news", TopicKind::event).parameters = {"id"};
    apply();
    auto event = [](const std::string &topic, std::vector<std::optional<std::string>> params) {
        Event made;
        made.kind = EventKind::broadcast;
        made.topic = topic;
        made.params = std::move(params);
        made.payload = "1";
        return made;
    };
    std::vector<Event> events{event("news", {"1"}), event("news", {std::nullopt}),
                              event("news", {"5"}), event("gone", {}), event("news", {})};
    router.expect(events);
    subscribe_many("news", 3);
    router.expect(events);
    router.expect({});
    for (const Event &each : events)
        router.handle(each, now);
    settle();
    EXPECT_EQ(host.take_all<link::Message>().size(), 1u + 3 + 0 + 3);
}

// ---- settings ----

// Only the resync interval says when an instance wants to be called.
TEST_F(ManyInstancesTest, another_resync_interval_holds_for_those_that_are_there) {
    add("status", TopicKind::state).parameters = {"id"};
    add("news", TopicKind::event).parameters = {"id"};
    apply();
    subscribe_many("status", 1000);
    subscribe_many("news", 1000, 5000);
    EXPECT_FALSE(router.next_deadline_ms());
    RouterSettings settings;
    settings.resync_interval_ms = 60'000;
    router.set_settings(settings);
    EXPECT_EQ(router.next_deadline_ms(), now.steady_ms + 60'000);
    now.steady_ms += 60'000;
    uint64_t before = results;
    settle();
    EXPECT_EQ(results - before, 1000u);
    settings.resync_interval_ms = 0;
    router.set_settings(settings);
    EXPECT_FALSE(router.next_deadline_ms());
}

// ---- what nobody subscribes to ----

class RetainedBoundTest : public ManyInstancesTest {
  protected:
    RetainedBoundTest() {
        RouterSettings settings;
        settings.max_retained = 100;
        router.set_settings(settings);
        Topic &topic = add("routes", TopicKind::event);
        topic.parameters = {"id"};
        topic.retain = true;
        apply();
    }
    std::set<std::string> unstored() {
        std::set<std::string> values;
        for (const RetainedMessage &message : router.unstored_messages(100'000, SIZE_MAX))
            values.insert(message.params[0]);
        return values;
    }
};

// An import of many values once left an instance for each until all were stored.
TEST_F(RetainedBoundTest, messages_that_wait_to_be_stored_are_no_more_than_will_be_kept) {
    for (int n = 1; n <= 1000; n++)
        handle(EventKind::change, "routes", {std::to_string(n)});
    EXPECT_EQ(router.instance_count(), 100u);
    EXPECT_FALSE(unstored().contains("900"));
    EXPECT_TRUE(unstored().contains("901"));
    ASSERT_EQ(host.warnings.size(), 1u) << "told once";
    EXPECT_NE(host.warnings[0].find("rtd.max_retained_messages"), std::string::npos);
}

TEST_F(RetainedBoundTest, one_that_gets_another_message_is_the_newest) {
    for (int n = 1; n <= 100; n++)
        handle(EventKind::change, "routes", {std::to_string(n)});
    handle(EventKind::change, "routes", {"1"});
    handle(EventKind::change, "routes", {"101"});
    EXPECT_TRUE(unstored().contains("1"));
    EXPECT_FALSE(unstored().contains("2"));
}

TEST_F(RetainedBoundTest, one_that_somebody_subscribes_to_stays) {
    handle(EventKind::change, "routes", {"1"});
    subscribe(1, "routes", {"1"});
    for (int n = 2; n <= 500; n++)
        handle(EventKind::change, "routes", {std::to_string(n)});
    EXPECT_EQ(router.instance_count(), 101u);
    handle(EventKind::broadcast, "routes", {"1"}, "\"still here\"");
    EXPECT_FALSE(host.take_all<link::Message>().empty());
    unsubscribe(1);
    EXPECT_LE(router.instance_count(), 101u);
}

TEST_F(RetainedBoundTest, messages_are_given_to_be_stored_in_portions_that_come_by_all) {
    for (int n = 1; n <= 90; n++)
        handle(EventKind::change, "routes", {std::to_string(n)});
    std::set<uint64_t> seen;
    for (int n = 0; n < 3; n++)
        for (const RetainedMessage &message : router.unstored_messages(30, SIZE_MAX))
            seen.insert(message.instance);
    EXPECT_EQ(seen.size(), 90u);
    EXPECT_EQ(router.unstored_messages(100, 1).size(), 1u);
}

// ---- the parts ----

TEST(AloneMessages, beyond_the_bytes_for_all_the_largest_topic_loses_its_oldest) {
    AloneMessages alone(1000);
    alone.touch(1, 11, 100);
    for (uint64_t id = 20; id < 30; id++)
        alone.touch(2, id, 100);
    EXPECT_EQ(alone.excess(1, 100), 20u);
    alone.remove(20);
    EXPECT_FALSE(alone.excess(1, 100));
    EXPECT_EQ(alone.excess(2, 8), 21u);
    alone.touch(2, 21, 100); // the newest now
    EXPECT_EQ(alone.excess(2, 8), 22u);
    EXPECT_EQ(alone.size(), 10u);
}

TEST(FairDeadlines, a_topic_with_many_that_are_due_leaves_room_for_the_others) {
    FairDeadlines deadlines;
    for (uint64_t id = 1; id <= 1000; id++)
        deadlines.set(1, id, std::nullopt, 10);
    deadlines.set(2, 2000, std::nullopt, 20);
    deadlines.set(3, 3000, std::nullopt, 50);
    std::vector<uint64_t> ran;
    deadlines.run_due(30, 100, [&](uint64_t id) {
        ran.push_back(id);
        deadlines.set(id == 2000 ? 2 : 1, id, id == 2000 ? 20 : 10, std::nullopt);
    });
    EXPECT_EQ(ran.size(), 101u);
    EXPECT_EQ(ran.back(), 2000u);
    EXPECT_EQ(deadlines.next_ms(), 10);
    deadlines.set(3, 3000, 50, 5);
    EXPECT_EQ(deadlines.next_ms(), 5);
}

TEST(ReadyQueue, topics_take_turns_and_a_busy_one_is_not_looked_through) {
    ReadyQueue ready;
    for (uint64_t id = 1; id <= 10'000; id++)
        ready.add(1, id);
    ready.add(2, 20'000);
    int asked = 0;
    auto wants = [&](uint64_t) { return ++asked > 0; };
    EXPECT_EQ(ready.take(1, false, false, wants), 1u);
    EXPECT_EQ(ready.take(1, false, false, wants), 20'000u);
    EXPECT_EQ(ready.take(1, false, false, wants), std::nullopt);
    ready.finished(1);
    EXPECT_EQ(ready.take(1, false, false, wants), 2u);
    EXPECT_EQ(asked, 3);
    ready.finished(1);
    EXPECT_EQ(ready.take(1, false, false, [](uint64_t id) { return id > 9'999; }), 10'000u);
    ready.finished(1);
    ready.finished(2);
    EXPECT_EQ(ready.take(1, false, false, wants), std::nullopt);
    ready.add(2, 5);
    EXPECT_EQ(ready.take(1, false, false, wants), 5u);
}

TEST(ReadyQueue, with_one_worker_all_others_have_their_turn_between_two_locked_topics) {
    ReadyQueue ready;
    auto wants = [](uint64_t) { return true; };
    auto take = [&](uint64_t topic) {
        std::optional<uint64_t> next = ready.take(1, false, true, wants);
        EXPECT_EQ(next, topic * 10);
        ready.finished(topic);
    };
    for (uint64_t topic : {1, 2}) {
        ready.add(topic, topic * 10);
        ready.hold(topic);
        ready.release(topic); // it is tried again
    }
    for (uint64_t topic : {3, 4})
        ready.add(topic, topic * 10);
    take(1);
    take(3);
    take(4);
    take(2); // as nobody else wants the worker
    for (uint64_t topic : {1, 3, 4})
        ready.add(topic, topic * 10);
    take(1);
    ready.add(2, 20);
    take(3);
    take(4);
    ready.add(3, 30);
    ready.add(4, 40);
    take(2); // others that never stop do not keep a locked one out for ever
    take(3);
}

// Each topic within its own share, and all of them together.
TEST(WideEvents, have_a_bound_for_all_topics_together) {
    constexpr size_t kPayload = 1 << 20;
    WideEvents wide;
    InstanceIndex nobody(1);
    size_t most = 0, told_at_once = 0;
    for (int n = 0; n < 200; n++) {
        WideEvent event;
        event.event.topic = "topic-" + std::to_string(n % 50);
        event.event.payload = std::string(kPayload, 'x');
        uint64_t topic = topic_key(event.event.topic);
        wide.add(std::move(event));
        told_at_once += wide.is_full(topic) ? 1 : 0;
        while (wide.is_full(topic))
            (void)wide.next_of(topic, nobody);
        most = std::max(most, wide.bytes());
    }
    EXPECT_GT(told_at_once, 100u);
    EXPECT_LE(most, 33 * kPayload);
    EXPECT_GT(most, 30 * kPayload);
    EXPECT_EQ(wide.next(nobody), std::nullopt);
    EXPECT_EQ(wide.bytes(), 0u);
}

TEST(UnstoredInstances, take_turns_whoever_comes_and_goes) {
    UnstoredInstances unstored;
    std::set<uint64_t> naive;
    std::mt19937 random(7);
    for (int step = 0; step < 20'000; step++) {
        uint64_t instance = random() % 50;
        if (naive.contains(instance)) {
            naive.erase(instance);
            unstored.remove(instance);
        } else {
            naive.insert(instance);
            unstored.add(instance);
        }
        ASSERT_EQ(unstored.size(), naive.size());
        ASSERT_EQ(unstored.empty(), naive.empty());
        if (step % 10 != 0)
            continue;
        std::set<uint64_t> given; // each once before any of them again
        for (size_t n = 0; n < naive.size(); n++)
            given.insert(unstored.next());
        ASSERT_EQ(given, naive);
    }
}

} // namespace
} // namespace rtd
