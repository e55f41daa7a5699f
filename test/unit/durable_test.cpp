// Durable topics in the router: a played table instead of a query worker, no clock, no server.
#include "core/envelope.h"
#include "router_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>

namespace rtd {
namespace {

class DurableHost final : public RecordingHost {
  public:
    bool logs_events() const override { return false; }
};

// What the gateway would make of the frames: the ids that each client got, and whether it is live.
struct Client {
    bool answered = false;
    bool recovered = false;
    bool live = false;
    uint64_t instance = 0;
    std::vector<std::string> ids;
    bool first_follows = false;
};

// rtd_message as a query worker knows it: what is committed, and which numbers were given.
struct Table {
    struct Stored {
        uint64_t row;
        std::vector<std::string> params;
        uint64_t sequence = 0; // 0: none yet
    };
    static constexpr uint64_t kEpoch = 77;
    static constexpr size_t kMost = 5; // rows of one job

    uint64_t commit(std::vector<std::string> params = {}) {
        rows.push_back({next_row, std::move(params)});
        return next_row++;
    }
    NumberedMessage message(const Stored &stored) const {
        uint64_t before = 0;
        for (const FormerEpoch &one : former) {
            if (stored.sequence <= one.newest)
                return numbered(stored, one.epoch, before);
            before = one.epoch;
        }
        return numbered(stored, epoch, before);
    }
    static NumberedMessage numbered(const Stored &stored, uint64_t epoch, uint64_t former_epoch) {
        return {"log",        stored.params,   epoch,
                former_epoch, stored.sequence, "{\"row\": " + std::to_string(stored.row) + "}"};
    }
    // The server goes on on another timeline, with the messages that it has; of the only instance.
    void fork() {
        former.push_back({epoch, newest[{}]});
        epoch++;
    }
    LogOutcome run(const LogJob &job) {
        if (const auto *number = std::get_if<NumberJob>(&job))
            return run_numbering(number->rows);
        if (const auto *read = std::get_if<ReadJob>(&job))
            return run_reading(*read);
        return ExpireOutcome{!rows.empty()};
    }
    NumberOutcome run_numbering(std::vector<uint64_t> wanted) {
        NumberOutcome outcome;
        bool recovers = wanted.empty();
        if (recovers)
            for (const Stored &stored : rows)
                if (stored.sequence == 0)
                    wanted.push_back(stored.row);
        if (recovers && wanted.size() > kMost) {
            wanted.resize(kMost);
            outcome.is_partial = true;
        }
        for (uint64_t row : wanted)
            for (Stored &stored : rows)
                if (stored.row == row && stored.sequence == 0) {
                    stored.sequence = ++newest[stored.params];
                    outcome.messages.push_back(message(stored));
                }
        return outcome;
    }
    ReadOutcome run_reading(const ReadJob &job) {
        ReadOutcome outcome;
        outcome.instance = job.instance;
        outcome.after = job.after;
        outcome.newest = newest[job.params];
        outcome.epoch = outcome.newest > 0 ? epoch : 0;
        outcome.former = former;
        std::map<uint64_t, NumberedMessage> kept;
        for (const Stored &stored : rows)
            if (stored.params == job.params && stored.sequence > 0)
                kept[stored.sequence] = message(stored);
        outcome.oldest = kept.empty() ? outcome.newest + 1 : kept.begin()->first;
        uint64_t from =
            job.after ? *job.after : outcome.newest - std::min<uint64_t>(outcome.newest, job.most);
        for (const auto &[sequence, numbered] : kept)
            if (sequence > from && (!job.after || outcome.messages.size() < kMost))
                outcome.messages.push_back(numbered);
        return outcome;
    }
    void expire_up_to(uint64_t sequence) {
        std::erase_if(rows, [&](const Stored &stored) {
            return stored.sequence > 0 && stored.sequence <= sequence;
        });
    }

    std::vector<Stored> rows;
    uint64_t epoch = kEpoch;
    std::vector<FormerEpoch> former;
    std::map<std::vector<std::string>, uint64_t> newest;
    uint64_t next_row = 1;
};

class DurableTest : public testing::Test {
  protected:
    DurableTest() { declare(router, {}, 3); }

    static void declare(Router &to, std::vector<std::string> parameters, int64_t history) {
        auto topic = std::make_shared<Topic>();
        topic->name = "log";
        topic->type = "log_update";
        topic->is_durable = true;
        topic->retain = true;
        topic->history = history;
        topic->parameters = std::move(parameters);
        to.set_settings({.message_retention_ms = 60'000});
        to.set_topics({{"log", topic}}, {1, 0});
    }
    void subscribe(uint64_t subscription, const std::string &since = {}) {
        clients[subscription] = {};
        router.subscribe({subscription, subscription, "log", {}, since}, {}, now);
    }
    uint64_t broadcast() {
        uint64_t row = table.commit();
        announce(row);
        return row;
    }
    void announce(uint64_t row) {
        Event event;
        event.kind = EventKind::stored;
        event.topic = "log";
        event.payload = stored_payload({row, 10});
        router.handle(event, now);
    }
    void play() {
        for (const link::HubFrame &frame : std::exchange(host.frames, {}))
            std::visit([&](const auto &f) { on(f); }, frame);
    }
    void on(const link::Subscribed &frame) {
        auto found = clients.find(frame.subscription);
        if (found == clients.end())
            return;
        EXPECT_FALSE(found->second.answered);
        found->second = {true,           frame.recovered,   !frame.awaits_first,
                         frame.instance, found->second.ids, frame.first_follows};
    }
    void on(const link::Message &frame) {
        for (auto &[subscription, client] : clients) {
            if (!client.answered || client.instance != frame.instance ||
                client.live != (frame.audience == Audience::live))
                continue;
            client.live = true;
            client.ids.push_back(frame.id);
        }
    }
    void on(const link::Replayed &frame) {
        if (clients.contains(frame.subscription))
            clients[frame.subscription].ids.push_back(frame.id);
    }
    void on(const link::Ended &frame) {
        EXPECT_EQ(frame.code, CloseCode::unavailable);
        if (clients.contains(frame.subscription))
            refused.push_back(frame.subscription);
    }
    template <class Frame> void on(const Frame &) {}

    // One job of the query worker and the end of the turn; false if there is nothing to do.
    bool work() {
        std::optional<LogJob> job = router.take_log_job(now);
        if (job)
            router.finish_log_job(table.run(*job), now);
        router.finish_turn(now);
        play();
        return job.has_value();
    }
    void work_off() {
        for (int steps = 0; work(); steps++)
            ASSERT_LT(steps, 1000);
    }
    static std::vector<std::string> ids(uint64_t first, uint64_t last) {
        std::vector<std::string> all;
        for (uint64_t sequence = first; sequence <= last; sequence++)
            all.push_back(message_id(Table::kEpoch, sequence));
        return all;
    }

    DurableHost host;
    Router router{host, 1000};
    Table table;
    std::map<uint64_t, Client> clients;
    std::vector<uint64_t> refused; // subscriptions, since they were looked at
    Now now{1'000'000, 0};
};

TEST_F(DurableTest, MessagesAreNumberedInTheOrderOfTheirCommitsAndSentOnce) {
    subscribe(1);
    work_off();
    uint64_t first = table.commit(), second = table.commit();
    announce(second); // committed first
    announce(first);
    announce(first);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 2));
    EXPECT_EQ(table.rows[0].sequence, 2);
    EXPECT_EQ(table.rows[1].sequence, 1);
}

TEST_F(DurableTest, WhatWasCommittedBeforeTheHubStartedIsNumberedFirst) {
    table.commit();
    table.commit();
    broadcast(); // its event waits in the queue
    work_off();
    EXPECT_EQ(table.newest[{}], 3);
    EXPECT_EQ(table.rows[2].sequence, 3);
    subscribe(1);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(3, 3)) << "the retained one";
}

TEST_F(DurableTest, LostEventsAreFoundBeforeYoungerOnesAreNumbered) {
    subscribe(1);
    work_off();
    table.commit(); // its event is lost
    uint64_t younger = table.commit();
    announce(younger);
    router.handle_loss([](uint64_t) { return true; }, "full", now);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 2));
    EXPECT_EQ(table.rows[0].sequence, 1);
    for (int i = 0; i < 12; i++)
        table.commit();
    Event lost;
    lost.kind = EventKind::lost;
    lost.topic = "log";
    router.handle(lost, now);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 14)) << "in several jobs, without a gap message";
}

TEST_F(DurableTest, ABatchCollectsWhileTheOneBeforeItIsUnderWay) {
    work_off();
    broadcast();
    std::optional<LogJob> first = router.take_log_job(now);
    ASSERT_TRUE(first);
    for (int i = 0; i < 4; i++)
        broadcast();
    EXPECT_FALSE(router.take_log_job(now)) << "one at a time";
    router.finish_log_job(table.run(*first), now);
    std::optional<LogJob> second = router.take_log_job(now);
    EXPECT_EQ(std::get<NumberJob>(*second).rows.size(), 4);
}

TEST_F(DurableTest, AFailedJobIsRepeatedAfterABackoff) {
    subscribe(1);
    work_off();
    broadcast();
    ASSERT_TRUE(router.take_log_job(now));
    router.finish_log_job(LogFailure{"disk full"}, now);
    EXPECT_EQ(host.warnings.size(), 1);
    EXPECT_FALSE(router.take_log_job(now));
    ASSERT_TRUE(router.next_log_deadline_ms());
    now.steady_ms = *router.next_log_deadline_ms();
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 1));
}

TEST_F(DurableTest, AJobWhoseOutcomeIsUnknownLosesAndRepeatsNothing) {
    for (bool committed : {false, true}) {
        subscribe(1);
        work_off();
        size_t before = clients[1].ids.size();
        uint64_t newest = table.newest[{}];
        broadcast();
        broadcast();
        std::optional<LogJob> job = router.take_log_job(now);
        ASSERT_TRUE(job);
        if (committed)
            table.run(*job);
        router.abandon_log_job("the query worker ended", now);
        broadcast();
        now.steady_ms += 60'000;
        work_off();
        std::vector<std::string> got(clients[1].ids.begin() + static_cast<std::ptrdiff_t>(before),
                                     clients[1].ids.end());
        EXPECT_EQ(got, ids(newest + 1, newest + 3)) << committed;
        router.unsubscribe(1, now);
    }
}

TEST_F(DurableTest, AForeignNumberIsReadBeforeItIsSkipped) {
    subscribe(1);
    work_off();
    table.run_numbering({table.commit()}); // by a worker of the hub before
    broadcast();
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 2));
}

TEST_F(DurableTest, AnotherTimelineGoesOnWithTheNumbersInAnotherEpoch) {
    for (bool has_them_in_memory : {false, true}) {
        table = {};
        DurableHost other;
        Router hub(other, 1000);
        declare(hub, {}, 10);
        auto work_off = [&] {
            while (std::optional<LogJob> job = hub.take_log_job(now))
                hub.finish_log_job(table.run(*job), now);
            hub.finish_turn(now);
        };
        auto numbered = [&](int count) {
            while (count-- > 0) {
                Event event;
                event.kind = EventKind::stored;
                event.topic = "log";
                event.payload = stored_payload({table.commit(), 10});
                hub.handle(event, now);
                work_off();
            }
        };
        auto told = [&](const std::string &since) {
            other.frames.clear();
            hub.subscribe({1, 1, "log", {}, since}, {}, now);
            work_off();
            std::vector<std::string> got;
            for (const link::HubFrame &frame : std::exchange(other.frames, {}))
                if (const auto *replayed = std::get_if<link::Replayed>(&frame))
                    got.push_back(replayed->id);
                else if (const auto *message = std::get_if<link::Message>(&frame))
                    got.push_back(message->id);
            hub.unsubscribe(1, now);
            return got;
        };
        numbered(3);
        if (has_them_in_memory) {
            hub.subscribe({2, 2, "log", {}, {}}, {}, now);
            work_off();
        }
        table.fork();
        numbered(2);
        using Ids = std::vector<std::string>;
        Ids after_two = {message_id(77, 3), message_id(78, 4), message_id(78, 5)};
        EXPECT_EQ(told(message_id(77, 2)), after_two);
        EXPECT_EQ(told(message_id(78, 2)), after_two) << "the id of a gap";
        EXPECT_EQ(told(message_id(77, 3)), Ids({message_id(78, 4), message_id(78, 5)}));
        EXPECT_EQ(told(message_id(78, 4)), Ids({message_id(78, 5)}));
        Ids gap_and_newest = {message_id(78, 4), message_id(78, 5)};
        EXPECT_EQ(told(message_id(77, 4)), gap_and_newest) << "of the lost timeline";
        EXPECT_EQ(told(message_id(79, 3)), gap_and_newest) << "of none";
    }
}

TEST_F(DurableTest, ALiveSubscriberIsToldNothingOfAnotherEpoch) {
    subscribe(1);
    work_off();
    broadcast();
    work_off();
    table.fork();
    broadcast();
    work_off();
    table.fork(); // and numbered by a worker whose end was not seen
    table.run_numbering({table.commit()});
    broadcast();
    work_off();
    EXPECT_EQ(clients[1].ids, std::vector<std::string>({message_id(77, 1), message_id(78, 2),
                                                        message_id(79, 3), message_id(79, 4)}));
}

TEST_F(DurableTest, ASubscriberMissesNothingFromTheMomentItCame) {
    work_off();
    broadcast();
    std::optional<LogJob> job = router.take_log_job(now);
    subscribe(1); // the first one is not numbered yet
    broadcast();
    router.finish_log_job(table.run(*job), now);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 2));
}

TEST_F(DurableTest, ASubscriberIsAnsweredOnceAQueryWorkerHasRead) {
    for (int i = 0; i < 9; i++)
        broadcast();
    work_off();
    subscribe(1);
    subscribe(2, message_id(Table::kEpoch, 2));
    subscribe(3);
    router.unsubscribe(3, now);
    play();
    EXPECT_FALSE(clients[1].answered);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(9, 9));
    EXPECT_EQ(clients[2].ids, ids(3, 9));
    EXPECT_FALSE(clients[3].answered);
}

TEST_F(DurableTest, ASubscriberResumesFromMemory) {
    subscribe(1);
    work_off();
    for (int i = 0; i < 5; i++)
        broadcast();
    work_off();
    subscribe(2, message_id(Table::kEpoch, 3));
    subscribe(3, message_id(Table::kEpoch, 5));
    EXPECT_FALSE(router.take_log_job(now)) << "nothing is read";
    broadcast();
    work_off();
    EXPECT_EQ(clients[2].ids, ids(4, 6));
    EXPECT_EQ(clients[3].ids, ids(6, 6));
    EXPECT_TRUE(clients[2].recovered && clients[3].recovered);
}

TEST_F(DurableTest, ASubscriberResumesFromTheTableWhileMessagesGoOn) {
    for (int i = 0; i < 23; i++)
        broadcast();
    work_off();
    subscribe(1, message_id(Table::kEpoch, 4));
    for (int i = 0; i < 3; i++) {
        broadcast();
        work();
        work();
    }
    subscribe(2, message_id(Table::kEpoch, 20)); // joins the catching up
    subscribe(3, message_id(Table::kEpoch, 1));
    subscribe(4);
    uint64_t newest = table.newest[{}];
    work_off();
    broadcast();
    work_off();
    EXPECT_EQ(clients[1].ids, ids(5, 27));
    EXPECT_EQ(clients[2].ids, ids(21, 27));
    EXPECT_EQ(clients[3].ids, ids(2, 27));
    EXPECT_EQ(clients[4].ids.front(), message_id(Table::kEpoch, newest));
    EXPECT_EQ(clients[4].ids, ids(newest, 27));
    EXPECT_TRUE(clients[4].first_follows && !clients[3].first_follows);
    EXPECT_TRUE(clients[1].recovered && clients[2].recovered && clients[3].recovered);
}

TEST_F(DurableTest, WhoeverAsksForWhatIsNotKeptIsTold) {
    for (int i = 0; i < 9; i++)
        broadcast();
    work_off();
    table.expire_up_to(5);
    for (const std::string &since :
         {message_id(Table::kEpoch, 3), message_id(5, 3), message_id(Table::kEpoch, 10)}) {
        subscribe(1, since);
        work_off();
        EXPECT_EQ(clients[1].ids, ids(8, 9)) << since << ": a gap, then the retained message";
        EXPECT_FALSE(clients[1].recovered);
        EXPECT_TRUE(clients[1].live);
        router.unsubscribe(1, now);
    }
    subscribe(1, message_id(Table::kEpoch, 5));
    work_off();
    EXPECT_EQ(clients[1].ids, ids(6, 9)) << "nothing of it is missing";
}

TEST_F(DurableTest, AGapBeforeTheFirstMessageCanBeResumedFrom) {
    subscribe(1, "5-5");
    work_off();
    EXPECT_EQ(clients[1].ids, std::vector<std::string>{"0-0"});
    router.unsubscribe(1, now);
    broadcast();
    broadcast();
    work_off();
    subscribe(1, "0-0");
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 2));
    EXPECT_TRUE(clients[1].recovered);
}

TEST_F(DurableTest, WhatExpiresWhileItIsReadIsAGap) {
    for (int i = 0; i < 20; i++)
        broadcast();
    work_off();
    subscribe(1, message_id(Table::kEpoch, 2));
    work(); // the newest ones
    work(); // 3 to 7
    table.expire_up_to(12);
    work_off();
    std::vector<std::string> expected = ids(3, 7);
    expected.push_back(message_id(Table::kEpoch, 12)); // the gap
    std::ranges::copy(ids(13, 20), std::back_inserter(expected));
    EXPECT_EQ(clients[1].ids, expected);
    EXPECT_TRUE(clients[1].live);
}

TEST_F(DurableTest, ALongReplayHoldsUpNeitherNumberingNorOtherInstances) {
    declare(router, {"id"}, 1);
    for (int i = 0; i < 100; i++)
        table.commit({"long"});
    work_off();
    clients[1] = clients[2] = {};
    router.subscribe({1, 1, "log", {"long"}, message_id(Table::kEpoch, 1)}, {}, now);
    work();
    router.subscribe({2, 2, "log", {"short"}, {}}, {}, now);
    uint64_t row = table.commit({"short"});
    announce(row);
    for (int i = 0; i < 4; i++)
        work();
    EXPECT_EQ(clients[2].ids, ids(1, 1));
    EXPECT_FALSE(clients[1].live);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(2, 100));
}

TEST_F(DurableTest, ExpiryRunsOnlyWhileThereIsSomethingToExpire) {
    work_off();
    EXPECT_FALSE(router.next_log_deadline_ms()) << "at rest";
    broadcast();
    work_off();
    ASSERT_TRUE(router.next_log_deadline_ms());
    EXPECT_EQ(*router.next_log_deadline_ms(), now.steady_ms + 10'000) << "a sixth of the retention";
    now.steady_ms += 10'000;
    std::optional<LogJob> job = router.take_log_job(now);
    ASSERT_TRUE(job);
    EXPECT_EQ(std::get<ExpireJob>(*job).retention_ms, 60'000);
    table.expire_up_to(1);
    router.finish_log_job(table.run(*job), now);
    EXPECT_FALSE(router.next_log_deadline_ms());
}

// Whatever happens in whatever order, a client that comes back with the last id it saw has every
// message once, in order.
TEST_F(DurableTest, RandomCommitsLossesDeathsAndReturnsLoseAndRepeatNothing) {
    size_t refusals = 0; // while messages could not be read
    for (uint32_t seed = 1; seed <= 600; seed++) {
        std::mt19937 random(seed);
        auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
        table = {};
        clients.clear();
        auto hub = std::make_unique<Router>(host, 1000 * seed);
        declare(*hub, {}, 1 + seed % 7);
        std::map<uint64_t, std::string> last; // client to the last id it saw
        std::map<uint64_t, std::vector<std::string>> all;
        std::map<uint64_t, uint64_t> subscription_of;
        uint64_t next_subscription = 1;
        std::vector<uint64_t> queue;
        std::optional<LogJob> under_way;
        auto connect = [&](uint64_t id) {
            uint64_t subscription = subscription_of[id] = next_subscription++;
            clients[subscription] = {};
            hub->subscribe({subscription, id, "log", {}, last[id]}, {}, now);
        };
        auto collect = [&] {
            play();
            for (auto &[id, subscription] : subscription_of)
                for (const std::string &message : std::exchange(clients[subscription].ids, {})) {
                    all[id].push_back(message);
                    last[id] = message;
                }
            for (uint64_t subscription : std::exchange(refused, {})) {
                refusals++;
                clients.erase(subscription);
                for (uint64_t id : {1, 2, 3})
                    if (subscription_of[id] == subscription)
                        connect(id);
            }
        };
        auto turn = [&] {
            for (uint64_t row : std::exchange(queue, {})) {
                Event event;
                event.kind = EventKind::stored;
                event.topic = "log";
                event.payload = stored_payload({row, 1});
                hub->handle(event, now);
            }
            hub->finish_turn(now);
            collect();
        };
        bool is_unreadable = false;
        auto finish = [&] {
            if (!under_way)
                under_way = hub->take_log_job(now);
            if (!under_way)
                return false;
            LogJob job = *std::exchange(under_way, std::nullopt);
            bool can_read = !std::holds_alternative<ReadJob>(job) || !is_unreadable;
            hub->finish_log_job(can_read ? table.run(job) : LogFailure{"no such table"}, now);
            turn();
            return true;
        };
        for (uint64_t id : {1, 2, 3})
            connect(id);
        for (int step = 0; step < 200; step++) {
            now.steady_ms += 100;
            if (chance(5))
                is_unreadable = !is_unreadable;
            if (chance(60))
                queue.push_back(table.commit());
            if (chance(10) && queue.size() > 1)
                std::ranges::shuffle(queue, random);
            if (chance(5) && !queue.empty()) { // the queue overflows
                queue.clear();
                hub->handle_loss([](uint64_t) { return true; }, "full", now);
            }
            if (chance(5)) { // a gateway dies
                uint64_t id = 1 + random() % 3;
                hub->unsubscribe(subscription_of[id], now);
                clients.erase(subscription_of[id]);
                connect(id);
            }
            if (chance(30))
                turn();
            if (chance(60) && !under_way)
                under_way = hub->take_log_job(now);
            if (chance(40))
                finish();
            if (chance(4) && under_way) { // the query worker dies, before or after its commit
                if (chance(50))
                    table.run(*under_way);
                under_way.reset();
                hub->abandon_log_job("the query worker ended", now);
                collect();
            }
            if (chance(2)) { // the hub dies, and half of the time the queue with it
                if (under_way && chance(50))
                    table.run(*under_way);
                under_way.reset();
                hub = std::make_unique<Router>(host, 1000 * seed + static_cast<uint64_t>(step));
                host.frames.clear();
                clients.clear();
                declare(*hub, {}, 1 + seed % 7);
                if (chance(50))
                    queue.clear();
                for (uint64_t id : {1, 2, 3})
                    connect(id);
            }
        }
        now.steady_ms += 100'000;
        is_unreadable = false;
        for (int round = 0; round < 3; round++) { // those who are refused come back
            turn();
            while (finish())
                ASSERT_LT(all[1].size(), 100'000);
        }
        turn();
        uint64_t newest = table.newest[{}];
        ASSERT_EQ(newest, table.rows.size()) << seed;
        for (uint64_t id : {1, 2, 3}) {
            ASSERT_FALSE(all[id].empty());
            uint64_t begin = std::stoull(all[id][0].substr(all[id][0].find('-') + 1));
            EXPECT_EQ(all[id], ids(begin, newest)) << "seed " << seed << " client " << id;
        }
    }
    EXPECT_GT(refusals, 10U);
}

TEST_F(DurableTest, ThoseWhoWaitForWhatCannotBeReadAreRefusedInTime) {
    subscribe(1);
    play();
    EXPECT_FALSE(clients[1].answered);
    EXPECT_TRUE(refused.empty()) << "a query worker may succeed";
    auto fail_until = [&](int64_t end_ms) {
        while (refused.empty() && now.steady_ms < end_ms) {
            if (router.take_log_job(now))
                router.finish_log_job(LogFailure{"no such table"}, now);
            now.steady_ms += 100;
            router.finish_turn(now);
            play();
        }
    };
    fail_until(1'002'100);
    EXPECT_EQ(refused, std::vector<uint64_t>{1});
    // The next ones too, although the next attempt may be far away.
    refused.clear();
    subscribe(2);
    now.steady_ms += 1800;
    router.finish_turn(now);
    play();
    EXPECT_EQ(refused, std::vector<uint64_t>{2});
}

TEST_F(DurableTest, WhatSubscribesIsReadBeforeWhatCommitsLaterIsNumbered) {
    work_off();
    broadcast();
    subscribe(1);
    uint64_t later = table.commit();
    announce(later);
    std::optional<LogJob> first = router.take_log_job(now);
    ASSERT_TRUE(first && std::holds_alternative<NumberJob>(*first));
    EXPECT_EQ(std::get<NumberJob>(*first).rows.size(), 1) << "only what came before";
    router.finish_log_job(table.run(*first), now);
    std::optional<LogJob> second = router.take_log_job(now);
    ASSERT_TRUE(second && std::holds_alternative<ReadJob>(*second));
    router.finish_log_job(table.run(*second), now);
    work_off();
    EXPECT_EQ(clients[1].ids, ids(1, 2)) << "the retained one, and the later one";
}

TEST_F(DurableTest, ATopicThatCannotBeNumberedHoldsUpNoOther) {
    auto other = std::make_shared<Topic>();
    other->name = other->type = "other";
    other->is_durable = true;
    auto log = std::make_shared<Topic>();
    log->name = log->type = "log";
    log->is_durable = true;
    router.set_topics({{"log", log}, {"other", other}}, now);
    auto announce_to = [&](const std::string &topic, uint64_t row) {
        Event event;
        event.kind = EventKind::stored;
        event.topic = topic;
        event.payload = stored_payload({row, 10});
        router.handle(event, now);
    };
    // Jobs with a row of "other", which are below 100, fail. Returns the rows that were numbered.
    auto run = [&] {
        std::vector<uint64_t> numbered;
        while (std::optional<LogJob> job = router.take_log_job(now)) {
            const auto *number = std::get_if<NumberJob>(&*job);
            bool is_locked =
                number != nullptr && !number->rows.empty() &&
                std::ranges::any_of(number->rows, [](uint64_t row) { return row < 100; });
            bool recovers_other =
                number != nullptr && number->rows.empty() && number->topic == "other";
            if (is_locked || recovers_other) {
                router.finish_log_job(LogFailure{"locked"}, now);
                continue;
            }
            if (number != nullptr)
                numbered.insert(numbered.end(), number->rows.begin(), number->rows.end());
            if (number != nullptr)
                router.finish_log_job(NumberOutcome{}, now);
            else
                router.finish_log_job(ExpireOutcome{}, now);
        }
        return numbered;
    };
    run();
    announce_to("other", 1);
    announce_to("log", 101);
    announce_to("other", 2);
    announce_to("log", 102);
    EXPECT_EQ(run(), (std::vector<uint64_t>{101, 102}));
    announce_to("other", 3);
    announce_to("log", 103);
    EXPECT_EQ(run(), (std::vector<uint64_t>{103}));
    now.steady_ms += 60'000;
    std::optional<LogJob> again = router.take_log_job(now);
    ASSERT_TRUE(again && std::holds_alternative<NumberJob>(*again));
    EXPECT_EQ(std::get<NumberJob>(*again).rows, (std::vector<uint64_t>{1, 2, 3})) << "in order";
}

TEST_F(DurableTest, OneWhoIsBehindIsRefusedWhenNothingCanBeRead) {
    work_off();
    for (int i = 0; i < 20; i++)
        broadcast();
    work_off();
    subscribe(1);
    work_off();
    subscribe(2, message_id(Table::kEpoch, 2));
    ASSERT_TRUE(router.take_log_job(now));
    router.finish_log_job(LogFailure{"no such table"}, now);
    now.steady_ms += 1500;
    router.finish_turn(now);
    play();
    EXPECT_EQ(refused, std::vector<uint64_t>{2});
    // One who comes while the next attempt is still to come.
    subscribe(3, message_id(Table::kEpoch, 2));
    ASSERT_TRUE(router.take_log_job(now));
    router.finish_log_job(LogFailure{"no such table"}, now);
    now.steady_ms += 1000;
    subscribe(4, message_id(Table::kEpoch, 2));
    now.steady_ms += 500;
    router.finish_turn(now);
    play();
    EXPECT_EQ(refused.size(), 3u);
    subscribe(5, message_id(Table::kEpoch, 2));
    work_off();
    EXPECT_EQ(clients[5].ids, ids(3, 20)) << "once it can be read";
}

} // namespace
} // namespace rtd
