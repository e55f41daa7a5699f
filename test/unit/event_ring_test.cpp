// The event queue's memory: what several writers reserve, fill, finish and abandon in any order is
// given to the hub once, whole, and none of it stops the rest.
#include "router/event_ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <thread>

namespace rtd {
namespace {

class RingMemory {
  public:
    explicit RingMemory(uint64_t capacity) : memory_(EventRing::shared_bytes(capacity) / 8 + 1) {
        ring_ = new (memory_.data()) EventRing;
        ring_->init(capacity);
    }
    EventRing &operator*() { return *ring_; }
    EventRing *operator->() { return ring_; }

  private:
    std::vector<uint64_t> memory_;
    EventRing *ring_;
};

using Events = std::vector<std::string>;

uint64_t bytes_of(const Events &events) {
    uint64_t bytes = 0;
    for (const std::string &event : events)
        bytes += event.size();
    return EventRing::batch_bytes(events.size(), bytes);
}

void fill(EventRing &ring, uint64_t batch, const Events &events) {
    EventRing::Writer writer(ring, batch);
    for (const std::string &event : events)
        writer.add(event, true);
    ring.finish(batch, static_cast<uint32_t>(events.size()));
}

struct Drained {
    std::vector<std::pair<uint64_t, std::string>> events; // with the positions of their commits
    LostEvents lost{};
};

Drained drain(EventRingReader &reader) {
    Drained drained;
    while (true) {
        bool has_more = reader.begin(drained.lost);
        reader.walk(
            drained.lost,
            [&](CommitPosition position, const std::string &event) {
                drained.events.emplace_back(position.lsn, event);
            },
            [](auto free) { free(); });
        if (!has_more)
            break;
    }
    reader.begin(drained.lost); // gives back what the walk took
    return drained;
}

TEST(EventRing, a_writer_that_stands_still_holds_up_nobody) {
    RingMemory ring(64 << 10);
    EventRingReader reader(*ring);
    uint64_t slow = 0, batch = 0;
    ASSERT_TRUE(ring->reserve(bytes_of({"slow", "er"}), {.lsn = 1}, &slow));
    for (uint64_t lsn = 2; lsn < 100; lsn++) {
        ASSERT_TRUE(ring->reserve(bytes_of({"quick"}), {.lsn = lsn}, &batch));
        fill(*ring, batch, {"quick"});
        Drained drained = drain(reader);
        ASSERT_EQ(drained.events.size(), 1u);
        ASSERT_EQ(drained.events[0].first, lsn);
    }
    EXPECT_LT(ring->room(), uint64_t{64 << 10});
    fill(*ring, slow, {"slow", "er"});
    Drained drained = drain(reader);
    ASSERT_EQ(drained.events.size(), 2u);
    EXPECT_EQ(drained.events[1].second, "er");
    EXPECT_EQ(drained.events[1].first, 1u);
    EXPECT_EQ(ring->room(), uint64_t{64 << 10}) << "its room, and that behind it";
}

TEST(EventRing,
     what_is_reserved_and_never_filled_is_told_as_a_loss_of_any_topic_and_gives_its_room) {
    RingMemory ring(1024);
    EventRingReader reader(*ring);
    for (uint64_t round = 1; round < 200; round++) {
        uint64_t given_up = 0, batch = 0;
        ASSERT_TRUE(ring->reserve(bytes_of({std::string(300, 'x')}), {.lsn = round}, &given_up));
        ASSERT_TRUE(ring->reserve(bytes_of({"after it"}), {.lsn = round}, &batch));
        fill(*ring, batch, {"after it"});
        ring->abandon(given_up);
        Drained drained = drain(reader);
        ASSERT_EQ(drained.events.size(), 1u);
        ASSERT_EQ(drained.lost.count, 1u);
        ASSERT_TRUE(drained.lost.concerns(round));
        ASSERT_EQ(drained.lost.up_to, round);
        ASSERT_EQ(ring->room(), 1024u);
    }
}

TEST(EventRing, another_reader_takes_what_the_last_one_left_and_nothing_twice) {
    RingMemory ring(4096);
    uint64_t slow = 0, batch = 0;
    {
        EventRingReader first(*ring);
        ASSERT_TRUE(ring->reserve(bytes_of({"slow"}), {}, &slow));
        ASSERT_TRUE(ring->reserve(bytes_of({"taken"}), {}, &batch));
        fill(*ring, batch, {"taken"});
        ASSERT_EQ(drain(first).events.size(), 1u);
    }
    ASSERT_TRUE(ring->reserve(bytes_of({"new"}), {}, &batch));
    fill(*ring, batch, {"new"});
    EventRingReader second(*ring);
    EXPECT_EQ(drain(second).events.at(0).second, "new");
    fill(*ring, slow, {"slow"});
    EXPECT_EQ(drain(second).events.at(0).second, "slow");
    EXPECT_EQ(drain(second).events.size(), 0u);
    EXPECT_EQ(ring->room(), 4096u);
}

// The walk over what it took before would cost as much as the ring is long, for each event.
TEST(EventRing, behind_one_that_stands_still_a_batch_costs_the_same_for_the_last_as_for_the_first) {
    RingMemory ring(64 << 20);
    EventRingReader reader(*ring);
    uint64_t slow = 0, batch = 0;
    ASSERT_TRUE(ring->reserve(bytes_of({"slow"}), {}, &slow));
    for (int n = 0; n < 400'000; n++) { // a walk over all would take hours
        ASSERT_TRUE(ring->reserve(bytes_of({"quick"}), {}, &batch));
        fill(*ring, batch, {"quick"});
        ASSERT_EQ(drain(reader).events.size(), 1u);
    }
}

TEST(EventRing, an_event_that_cannot_be_copied_is_not_tried_again) {
    RingMemory ring(4096);
    EventRingReader reader(*ring);
    uint64_t batch = 0;
    for (const char *text : {"fails", "goes on"}) {
        ASSERT_TRUE(ring->reserve(bytes_of({text}), {}, &batch));
        fill(*ring, batch, {text});
    }
    LostEvents lost{};
    auto refuse = [](CommitPosition, const std::string &) { throw std::bad_alloc(); };
    reader.begin(lost);
    EXPECT_THROW(reader.walk(lost, refuse, [](auto free) { free(); }), std::bad_alloc);
    Drained drained = drain(reader);
    ASSERT_EQ(drained.events.size(), 1u);
    EXPECT_EQ(drained.events[0].second, "goes on");
    EXPECT_EQ(ring->room(), 4096u);
}

TEST(LostEvents, beyond_the_topics_that_can_be_told_apart_all_are_concerned) {
    LostEvents lost{}, more{};
    for (uint64_t topic = 1; topic <= LostEvents::kMaxTopics; topic++)
        lost.add(topic, topic);
    EXPECT_FALSE(lost.concerns(1000));
    EXPECT_TRUE(lost.concerns(LostEvents::kMaxTopics));
    more.add(3, 500);
    lost.add(more);
    EXPECT_FALSE(lost.of_any_topic);
    EXPECT_EQ(lost.up_to, 500u);
    more.add(1000);
    lost.add(more);
    EXPECT_TRUE(lost.of_any_topic);
    EXPECT_EQ(lost.count, LostEvents::kMaxTopics + 3);
}

// A naive queue: a list of batches, of which the finished ones come out.
struct Model {
    enum class State { reserved, finished, abandoned };
    struct Batch {
        uint64_t at, bytes, lsn;
        State state = State::reserved;
        bool is_taken = false;
        Events events = {};
    };
    std::deque<Batch> batches;

    uint64_t used() const {
        uint64_t bytes = 0;
        for (const Batch &batch : batches)
            bytes += batch.bytes;
        return bytes;
    }
    // What was finished comes by and by; in which order is not promised.
    std::multimap<uint64_t, std::string> drain(uint64_t &lost) {
        std::multimap<uint64_t, std::string> events;
        for (Batch &batch : batches) {
            if (batch.state == State::reserved || std::exchange(batch.is_taken, true))
                continue;
            lost += batch.state == State::abandoned;
            for (const std::string &event : batch.events)
                events.emplace(batch.lsn, event);
        }
        while (!batches.empty() && batches.front().is_taken)
            batches.pop_front();
        return events;
    }
};

TEST(EventRing, any_order_of_reserving_filling_and_draining_gives_what_the_model_gives) {
    for (unsigned seed = 1; seed <= 300; seed++) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        auto below = [&](unsigned most) { return static_cast<unsigned>(random() % most); };
        const uint64_t capacity = 1024 * (1 + seed % 5);
        RingMemory ring(capacity);
        auto reader = std::make_unique<EventRingReader>(*ring);
        Model model;
        for (uint64_t step = 1; step <= 500; step++) {
            std::vector<Model::Batch *> open;
            for (Model::Batch &batch : model.batches)
                if (batch.state == Model::State::reserved)
                    open.push_back(&batch);
            unsigned what = below(10);
            if (what < 4) {
                Events events(below(4));
                for (std::string &event : events)
                    event = std::string(below(300), static_cast<char>('a' + below(26)));
                Model::Batch batch{.at = 0, .bytes = bytes_of(events), .lsn = step};
                batch.events = events;
                bool has_room = capacity - model.used() >= batch.bytes;
                ASSERT_EQ(ring->reserve(batch.bytes, {.lsn = step}, &batch.at), has_room);
                if (has_room)
                    model.batches.push_back(batch);
            } else if (what < 7 && !open.empty()) {
                Model::Batch &batch = *open[below(static_cast<unsigned>(open.size()))];
                fill(*ring, batch.at, batch.events);
                batch.state = Model::State::finished;
            } else if (what == 7 && !open.empty()) {
                Model::Batch &batch = *open[below(static_cast<unsigned>(open.size()))];
                ring->abandon(batch.at);
                batch.state = Model::State::abandoned;
                batch.events.clear();
            } else if (what == 8 && below(4) == 0) {
                reader = std::make_unique<EventRingReader>(*ring);
            } else {
                Drained drained = drain(*reader);
                uint64_t lost = 0;
                auto expected = model.drain(lost);
                ASSERT_EQ(drained.lost.count, lost);
                std::multimap<uint64_t, std::string> came(drained.events.begin(),
                                                          drained.events.end());
                ASSERT_EQ(came, expected); // equal positions keep the order in which they came
                ASSERT_EQ(ring->room(), capacity - model.used());
            }
        }
    }
}

// With real threads, the lock where the rules ask for it and nowhere else.
TEST(EventRing, writers_that_fill_at_the_same_time_lose_nothing_and_tear_nothing) {
    constexpr uint64_t kWriters = 4, kBatches = 5000;
    RingMemory ring(256 << 10);
    std::mutex lock;
    std::atomic<uint64_t> running = kWriters;
    uint64_t lost = 0;
    std::vector<std::thread> writers;
    for (uint64_t writer = 0; writer < kWriters; writer++)
        writers.emplace_back([&, writer] {
            std::mt19937 random(static_cast<unsigned>(writer));
            for (uint64_t n = 1; n <= kBatches; n++) {
                Events events(1 + random() % 5, std::to_string(writer) + ' ' + std::to_string(n) +
                                                    std::string(random() % 500, '.'));
                uint64_t batch = 0;
                std::unique_lock<std::mutex> guard(lock);
                bool has_room =
                    ring->reserve(bytes_of(events), {.lsn = writer * kBatches + n}, &batch);
                lost += has_room ? 0 : events.size();
                if (!has_room) {
                    LostEvents all{};
                    for (size_t i = 0; i < events.size(); i++)
                        all.add(writer);
                    ring->lose(all);
                }
                guard.unlock();
                if (has_room)
                    fill(*ring, batch, events);
            }
            running--;
        });
    EventRingReader reader(*ring);
    LostEvents told{};
    std::map<uint64_t, Events> came;
    for (bool was_running = true; was_running;) {
        was_running = running > 0;
        std::unique_lock<std::mutex> guard(lock);
        reader.begin(told);
        guard.unlock();
        reader.walk(
            told,
            [&](CommitPosition position, std::string event) {
                came[position.lsn].push_back(std::move(event));
            },
            [&](auto free) {
                std::lock_guard<std::mutex> held(lock);
                free();
            });
    }
    for (std::thread &writer : writers)
        writer.join();
    EXPECT_EQ(told.count, lost);
    uint64_t whole = 0;
    for (const auto &[lsn, events] : came) {
        uint64_t writer = (lsn - 1) / kBatches, n = lsn - writer * kBatches;
        std::string begin = std::to_string(writer) + ' ' + std::to_string(n);
        for (const std::string &event : events) {
            ASSERT_EQ(event, events[0]);
            ASSERT_EQ(event.substr(0, begin.size()), begin);
        }
        whole++;
    }
    EXPECT_GT(whole, 0u);
    if (lost == 0) {
        EXPECT_EQ(whole, kWriters * kBatches);
    }
}

} // namespace
} // namespace rtd
