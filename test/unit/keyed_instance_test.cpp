// Keyed topics through the router, with a host that records and a table that a test keeps: what
// clients have after every message must be the table at one moment.
#include "router/router.h"

#include <gtest/gtest.h>

#include <random>

namespace rtd {
namespace {

using link::Audience;
using link::TopicKind;

class Host : public RouterHost {
  public:
    void send(link::HubFrame) override {}
    void send(const link::HubFrame &frame, const Subscribers &) override {
        if (const auto *message = std::get_if<link::Message>(&frame))
            messages.push_back(*message);
    }
    std::optional<link::Ended> refuse(const Identity &, const Topic *) override {
        return std::nullopt;
    }
    bool add_interest(Interest, uint64_t, uint64_t) override { return true; }
    void remove_interest(Interest, uint64_t, uint64_t) override {}
    void clear_changed(uint64_t, uint64_t) override {}
    bool logs_events() const override { return false; }
    void log_event(const std::string &) override {}
    void log_warning(const std::string &line) override { warnings.push_back(line); }

    std::vector<link::Message> take() { return std::exchange(messages, {}); }

    std::vector<link::Message> messages;
    std::vector<std::string> warnings;
};

class KeyedTopic : public testing::Test {
  protected:
    KeyedTopic() {
        auto topic = std::make_shared<Topic>();
        topic->name = "t";
        topic->kind = TopicKind::keyed;
        topic->type = "t_update";
        topic->key = {"id"};
        topics["t"] = topic;
        router.set_topics(topics, now);
    }

    void subscribe(uint64_t subscription) {
        router.subscribe({subscription, subscription, "t", {}, {}}, {}, now);
        router.finish_turn(now);
    }
    void change(Key key, EventKind kind = EventKind::change, uint64_t version = 0) {
        Event event;
        event.version = version;
        event.kind = kind;
        event.topic = "t";
        event.key = std::move(key);
        event.payload = "{}";
        router.handle(event, now);
        router.finish_turn(now);
    }
    std::optional<QueryJob> job() { return router.take_job(now, 1); }

    // What a query worker finds.
    QueryOutcome read(const KeySelection &selection, const std::map<int, int> &table) {
        QueryOutcome outcome;
        outcome.status = QueryOutcome::Status::ok;
        outcome.has_all = selection.all;
        if (selection.all)
            for (auto [id, n] : table)
                outcome.rows.push_back(row(id, n));
        for (const Key &key : selection.keys) {
            auto found = table.find(std::stoi(key.at(0)));
            outcome.rows.push_back(found != table.end()
                                       ? row(found->first, found->second)
                                       : KeyedRow{"{\"id\": " + key.at(0) + "}", ""});
        }
        return outcome;
    }
    static KeyedRow row(int id, int n) {
        std::string key = "{\"id\": " + std::to_string(id);
        return {key + "}", key + ", \"n\": " + std::to_string(n) + "}"};
    }
    std::optional<QueryJob> finish(const QueryJob &job, QueryOutcome outcome) {
        auto more = router.finish_job(job.instance, outcome, now);
        router.finish_turn(now);
        return more;
    }
    // A subscriber with the rows of `table`.
    void start() {
        subscribe(1);
        finish(*job(), read({true, {}}, table));
        host.take();
    }
    static std::string data(const link::Message &message) {
        size_t from = message.body.find("\"data\":") + 7;
        return message.body.substr(from, message.body.find(",\"timestamp\"") - from);
    }

    Now now{1'000'000, 1'790'000'000'000'000};
    Host host;
    Topics topics;
    Router router{host, 100};
    std::map<int, int> table{{1, 10}, {2, 20}};
};

// A writer whose transaction began before its topic was defined anew named the row by a column that
// is not the key any more.
TEST_F(KeyedTopic, a_key_under_another_version_of_the_topic_is_not_believed) {
    start();
    change({"2"}, EventKind::change, 7);
    std::optional<QueryJob> whole = job();
    ASSERT_TRUE(whole);
    EXPECT_TRUE(whole->selection.all);
    finish(*whole, read(whole->selection, table));
    change({"2"}, EventKind::change, 0);
    std::optional<QueryJob> row = job();
    ASSERT_TRUE(row);
    EXPECT_EQ(row->selection.keys, (std::vector<Key>{{"2"}}));
}

TEST_F(KeyedTopic, is_read_as_a_whole_when_any_definition_moved) {
    start();
    Event moved;
    moved.kind = EventKind::moved;
    auto move = [&] {
        router.handle(moved, now);
        router.finish_turn(now);
    };
    move();
    std::optional<QueryJob> whole = job();
    ASSERT_TRUE(whole);
    EXPECT_TRUE(whole->selection.all);
    finish(*whole, read(whole->selection, table));

    // DDL in a loop: the last of it counts, half a second later.
    for (int i = 0; i < 10; i++)
        move();
    EXPECT_FALSE(job());
    EXPECT_EQ(router.next_deadline_ms(), now.steady_ms + 500);
    now.steady_ms += 500;
    router.finish_turn(now);
    ASSERT_TRUE(whole = job());
    EXPECT_TRUE(whole->selection.all);
    finish(*whole, read(whole->selection, table));
    now.steady_ms += 500;
    router.finish_turn(now);
    EXPECT_FALSE(job());
}

TEST_F(KeyedTopic, first_all_rows_then_deltas) {
    subscribe(1);
    std::optional<QueryJob> first = job();
    ASSERT_TRUE(first && first->selection.all);
    finish(*first, read(first->selection, table));
    auto messages = host.take();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].audience, Audience::waiting);
    EXPECT_EQ(messages[0].id, "100-1");
    EXPECT_NE(messages[0].body.find("\"kind\":\"snapshot\""), std::string::npos);

    table[2] = 21;
    change({"2"});
    std::optional<QueryJob> second = job();
    ASSERT_TRUE(second);
    EXPECT_EQ(second->selection.keys, (std::vector<Key>{{"2"}}));
    finish(*second, read(second->selection, table));
    messages = host.take();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].audience, Audience::live);
    EXPECT_EQ(data(messages[0]), R"({"upsert":[{"id": 2, "n": 21}],"remove":[]})");
    EXPECT_EQ(messages[0].id, "100-2");
    EXPECT_NE(messages[0].body.find("\"kind\":\"delta\""), std::string::npos);
}

TEST_F(KeyedTopic, a_late_subscriber_gets_all_rows_with_the_newest_id_and_no_query) {
    start();
    table.erase(1);
    change({"1"});
    finish(*job(), read({false, {{"1"}}}, table));
    host.take();
    subscribe(2);
    EXPECT_FALSE(job());
    auto messages = host.take();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].audience, Audience::waiting);
    EXPECT_EQ(messages[0].id, "100-2");
    EXPECT_EQ(data(messages[0]), R"([{"id": 2, "n": 20}])");
}

TEST_F(KeyedTopic, changes_during_a_query_make_one_next_query) {
    start();
    change({"1"});
    std::optional<QueryJob> running = job();
    change({"2"});
    change({"3"});
    EXPECT_FALSE(job());
    finish(*running, read(running->selection, table));
    std::optional<QueryJob> next = job();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->selection.keys, (std::vector<Key>{{"2"}, {"3"}}));
    finish(*next, read(next->selection, table));
    EXPECT_FALSE(job());
    EXPECT_TRUE(host.take().empty()) << "nothing differed";
}

TEST_F(KeyedTopic, an_open_outcome_is_completed_by_what_came_meanwhile) {
    start();
    change({"1"});
    std::optional<QueryJob> running = job();
    table = {{1, 11}, {2, 21}}; // one transaction, of which the query was told half
    change({"2"});
    QueryOutcome open = read(running->selection, table);
    open.is_open = true;
    std::optional<QueryJob> more = finish(*running, open);
    ASSERT_TRUE(more);
    EXPECT_EQ(more->instance, running->instance);
    EXPECT_EQ(more->selection.keys, (std::vector<Key>{{"2"}}));
    EXPECT_TRUE(host.take().empty()) << "half a transaction is not sent";
    EXPECT_FALSE(finish(*running, read(more->selection, table)));
    auto messages = host.take();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(data(messages[0]),
              R"({"upsert":[{"id": 1, "n": 11},{"id": 2, "n": 21}],"remove":[]})");
    // The event may have been of a transaction that the query did not see.
    std::optional<QueryJob> again = job();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->selection.keys, (std::vector<Key>{{"2"}}));
}

TEST_F(KeyedTopic, an_open_outcome_with_nothing_new_is_sent_at_once) {
    start();
    change({"1"});
    std::optional<QueryJob> running = job();
    table[1] = 11;
    change({"1"}); // read already
    QueryOutcome open = read(running->selection, table);
    open.is_open = true;
    EXPECT_FALSE(finish(*running, open));
    EXPECT_EQ(host.take().size(), 1u);
}

TEST_F(KeyedTopic, everything_changed_is_a_difference) {
    start();
    for (EventKind kind : {EventKind::change, EventKind::refresh, EventKind::lost}) {
        table.erase(1);
        table[static_cast<int>(kind) + 5] = 1;
        change({}, kind);
        std::optional<QueryJob> all = job();
        ASSERT_TRUE(all && all->selection.all);
        finish(*all, read(all->selection, table));
        auto messages = host.take();
        ASSERT_EQ(messages.size(), 1u);
        EXPECT_NE(messages[0].body.find("\"kind\":\"delta\""), std::string::npos);
    }
    router.handle_loss([](uint64_t) { return true; }, "the queue was full", now);
    router.finish_turn(now);
    EXPECT_TRUE(job()->selection.all);
}

TEST_F(KeyedTopic, a_failed_query_is_repeated_with_its_keys) {
    start();
    change({"1"});
    std::optional<QueryJob> running = job();
    change({"2"});
    QueryOutcome failed;
    failed.text = "no";
    finish(*running, failed);
    EXPECT_EQ(host.warnings.size(), 1u);
    EXPECT_FALSE(job()) << "not before the backoff";
    now.steady_ms += 1000;
    router.finish_turn(now);
    std::optional<QueryJob> again = job();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->selection.keys, (std::vector<Key>{{"1"}, {"2"}}));
    router.abandon_job(again->instance, "the query worker ended", now);
    now.steady_ms += 60'000;
    router.finish_turn(now);
    EXPECT_EQ(job()->selection.keys, (std::vector<Key>{{"1"}, {"2"}}));
}

TEST_F(KeyedTopic, an_open_outcome_whose_subscribers_left_asks_for_nothing) {
    start();
    change({"1"});
    std::optional<QueryJob> running = job();
    change({"2"});
    router.unsubscribe(1, now);
    QueryOutcome open = read(running->selection, table);
    open.is_open = true;
    EXPECT_FALSE(finish(*running, open));
    subscribe(2);
    EXPECT_TRUE(job()->selection.all);
}

TEST_F(KeyedTopic, rows_that_outgrow_a_message_are_queried_until_they_fit_again) {
    RouterSettings settings;
    settings.max_message_bytes = 60;
    router.set_settings(settings);
    start();
    table[3] = 1000;
    table[4] = 1000;
    change({"3"});
    change({"4"});
    finish(*job(), read({false, {{"3"}, {"4"}}}, table));
    EXPECT_TRUE(host.take().empty());
    std::optional<QueryJob> all = job();
    ASSERT_TRUE(all && all->selection.all);
    table.erase(3);
    table.erase(4);
    finish(*all, read(all->selection, table));
    auto messages = host.take();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].audience, Audience::live);
    EXPECT_NE(messages[0].body.find("\"kind\":\"snapshot\""), std::string::npos);
}

TEST_F(KeyedTopic, a_delta_that_outgrows_a_message_is_a_snapshot) {
    RouterSettings settings;
    settings.max_message_bytes = 90;
    router.set_settings(settings);
    table = {{1, 1}, {2, 1}, {3, 1}};
    start();
    table = {{4, 1}, {5, 1}, {6, 1}};
    change({});
    finish(*job(), read({true, {}}, table));
    auto messages = host.take();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_NE(messages[0].body.find("\"kind\":\"snapshot\""), std::string::npos);
}

// A database of versions: transactions become visible one by one, their events come in any order
// and later than they are visible, queries take their snapshot at any moment. After every message a
// client must have the table as it was after some whole number of transactions, never fewer than
// before; in the end, all.
TEST_F(KeyedTopic, after_every_message_a_client_has_the_table_of_one_moment) {
    for (unsigned seed = 1; seed <= 300; seed++) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        auto up_to = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        host = Host{};
        Router fresh{host, 100};
        fresh.set_topics(topics, now);
        std::vector<std::map<int, int>> versions{{{1, 0}, {2, 0}, {3, 0}}};
        std::vector<std::vector<Event>> unheard; // of visible transactions
        std::map<std::string, std::string> client;
        size_t shown = 0;

        auto hear = [&](size_t which) {
            for (const Event &event : unheard[which])
                fresh.handle(event, now);
            unheard.erase(unheard.begin() + static_cast<ptrdiff_t>(which));
        };
        auto commit = [&] {
            std::map<int, int> next = versions.back();
            std::vector<Event> events;
            for (int i = up_to(3); i >= 0; i--) {
                int id = up_to(6);
                Event event;
                event.topic = "t";
                event.payload = "{}";
                event.key = {std::to_string(id)};
                if (up_to(10) == 0) { // a TRUNCATE
                    event.key.clear();
                    next.clear();
                }
                if (up_to(3) == 0)
                    next.erase(id);
                else
                    next[id] = up_to(1000);
                events.push_back(event);
            }
            versions.push_back(next);
            unheard.push_back(events);
        };
        auto apply_messages = [&] {
            fresh.finish_turn(now);
            for (const link::Message &message : host.take()) {
                // The rows are flat, so a row ends at its brace.
                std::string text = data(message);
                size_t removals = text.find("\"remove\":[");
                if (message.body.find("\"kind\":\"snapshot\"") != std::string::npos) {
                    client.clear();
                    removals = std::string::npos;
                }
                auto objects = [](const std::string &list) {
                    std::vector<std::string> found;
                    for (size_t at = list.find("{\"id\""); at != std::string::npos;
                         at = list.find("{\"id\"", at + 1))
                        found.push_back(list.substr(at, list.find('}', at) + 1 - at));
                    return found;
                };
                if (removals != std::string::npos) {
                    for (const std::string &key : objects(text.substr(removals)))
                        EXPECT_EQ(client.erase(key), 1u) << key;
                }
                for (const std::string &row : objects(text.substr(0, removals)))
                    client[row.substr(0, row.find(", ")) + "}"] = row;
                size_t version = shown;
                auto is_version = [&](size_t v) {
                    std::map<std::string, std::string> expected;
                    for (auto [id, n] : versions[v])
                        expected[row(id, n).key] = row(id, n).row;
                    return expected == client;
                };
                while (version < versions.size() && !is_version(version))
                    version++;
                ASSERT_LT(version, versions.size()) << "no moment has these rows: " << text;
                shown = version;
            }
        };

        fresh.subscribe({1, 1, "t", {}, {}}, {}, now);
        std::optional<QueryJob> running;
        for (int step = 0; step < 200; step++) {
            if (step < 150 && up_to(3) > 0)
                commit();
            if (!unheard.empty() && up_to(2) == 0)
                hear(static_cast<size_t>(up_to(static_cast<int>(unheard.size()))));
            fresh.finish_turn(now);
            if (!running)
                running = fresh.take_job(now, 1);
            if (running && up_to(2) == 0) {
                const std::map<int, int> snapshot = versions.back();
                size_t visible = versions.size();
                QueryOutcome outcome = read(running->selection, snapshot);
                outcome.is_open = !running->selection.all;
                if (up_to(2) == 0)
                    commit(); // after the snapshot, and heard of before the outcome
                if (outcome.is_open)
                    while (!unheard.empty())
                        hear(0);
                std::optional<QueryJob> more = fresh.finish_job(running->instance, outcome, now);
                if (more) {
                    EXPECT_FALSE(
                        fresh.finish_job(running->instance, read(more->selection, snapshot), now));
                }
                ASSERT_LE(visible, versions.size());
                running.reset();
            }
            apply_messages();
            if (HasFatalFailure())
                return;
        }
        while (!unheard.empty())
            hear(0);
        fresh.finish_turn(now);
        for (int runs = 0; runs < 3; runs++) {
            if (!running)
                running = fresh.take_job(now, 1);
            if (running) {
                fresh.finish_job(running->instance, read(running->selection, versions.back()), now);
                running.reset();
            }
            apply_messages();
        }
        std::map<std::string, std::string> expected;
        for (auto [id, n] : versions.back())
            expected[row(id, n).key] = row(id, n).row;
        EXPECT_EQ(client, expected);
    }
}

} // namespace
} // namespace rtd
