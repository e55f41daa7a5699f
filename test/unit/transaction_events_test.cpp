// What becomes of a transaction's events, compared with a naive list: every entry with the level it
// was made at, and all rules applied to all of it at the end.
#include "router/transaction_events.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>
#include <set>

namespace rtd {
namespace {

constexpr TransactionEvents::Bounds kBounds{.events = 5, .bytes = 400};

PreparedEvent event_of(uint64_t topic, std::string text) {
    Event event;
    event.topic = "t" + std::to_string(topic);
    event.payload = std::move(text);
    return prepare(event);
}

PreparedEvent lost_of(uint64_t topic, const std::string &reason) {
    Event event;
    event.kind = EventKind::lost;
    event.topic = "t" + std::to_string(topic);
    event.payload = "{\"reason\": \"" + reason + "\"}";
    return prepare(event);
}

uint64_t all_bytes(uint64_t, uint64_t bytes) {
    return bytes;
}

// What was chosen, in its order.
std::vector<std::string> chosen_of(const TransactionEvents &events) {
    std::vector<std::string> chosen;
    events.each_chosen([&](std::string_view bytes, bool is_ordered) {
        Event event = *decode_event(bytes);
        chosen.push_back(event.topic + (event.kind == EventKind::lost ? " lost" : "") +
                         (is_ordered ? " ordered " : " ") +
                         (event.kind == EventKind::lost ? "" : event.payload));
    });
    return chosen;
}

const auto everything = [](const HeldEvent &) { return true; };

TEST(TransactionEvents, beyond_the_bound_one_event_stands_for_the_topic_and_none_for_others) {
    TransactionEvents events;
    for (int i = 0; i < 8; i++)
        for (uint64_t topic : {1, 2})
            if (topic == 1 || i < 2)
                events.add(1, event_of(topic, std::to_string(i)), "t" + std::to_string(topic),
                           Delivery::if_subscribed, kBounds);
    EXPECT_EQ(events.choose(everything).events, 3u);
    EXPECT_EQ(chosen_of(events),
              (std::vector<std::string>{"t2 ordered 0", "t2 ordered 1", "t1 lost ordered "}));
}

TEST(TransactionEvents, one_that_is_larger_than_the_queue_is_told_in_its_place) {
    TransactionEvents events;
    for (size_t size : {1u, 500u, 2u})
        events.add(1, event_of(1, std::string(size, 'x')), "t1", Delivery::always, kBounds);
    events.choose(everything);
    EXPECT_EQ(chosen_of(events),
              (std::vector<std::string>{"t1 ordered x", "t1 lost ordered ", "t1 ordered xx"}));
}

TEST(TransactionEvents, only_what_a_query_or_an_order_waits_for_is_announced) {
    for (auto [delivery, is_announced, is_ordered] :
         {std::tuple{Delivery::state_change, false, false},
          {Delivery::keyed_change, true, false},
          {Delivery::if_subscribed, true, true},
          {Delivery::always, true, true},
          {Delivery::stored, true, true}}) {
        TransactionEvents events;
        events.add_generation(1, true);
        EXPECT_FALSE(events.must_be_announced());
        events.add(1, event_of(1, "x"), "t1", delivery, kBounds);
        EXPECT_EQ(events.must_be_announced(), is_announced);
        TransactionEvents::Chosen chosen = events.choose(everything);
        EXPECT_EQ(chosen.has_ordered, is_ordered);
        EXPECT_TRUE(chosen.moves_definitions);
        EXPECT_FALSE(chosen.moves_catalog);
    }
}

// A keyed topic's rows are read from one snapshot with those that other events of the same
// transaction name; none of them may be held back.
TEST(TransactionEvents, an_event_with_a_place_in_the_order_gives_none_to_its_neighbours) {
    TransactionEvents events;
    events.add(1, event_of(1, "a"), "t1", Delivery::if_subscribed, kBounds);
    events.add(1, event_of(2, "b"), "t2", Delivery::keyed_change, kBounds);
    events.add(1, event_of(3, "c"), "t3", Delivery::state_change, kBounds);
    EXPECT_TRUE(events.choose(everything).has_ordered);
    EXPECT_EQ(chosen_of(events), (std::vector<std::string>{"t1 ordered a", "t2 b", "t3 c"}));
}

TEST(TransactionEvents, what_has_no_room_goes_alone_and_its_topics_are_named) {
    TransactionEvents events;
    for (uint64_t topic : {1, 2, 3})
        events.add(1, event_of(topic, std::string(topic == 2 ? 200 : 10, 'x')),
                   "t" + std::to_string(topic),
                   topic == 3 ? Delivery::state_change : Delivery::always, kBounds);
    TransactionEvents::Chosen chosen = events.choose(everything);
    uint64_t small = event_of(1, std::string(10, 'x')).bytes.size();
    LostEvents lost{};
    chosen = events.keep_what_has_room(2 * small, all_bytes, 77, lost);
    EXPECT_EQ(chosen.events, 2u);
    EXPECT_EQ(chosen.bytes, 2 * small);
    EXPECT_EQ(lost.count, 1u);
    EXPECT_EQ(lost.up_to, 77u);
    EXPECT_TRUE(lost.concerns(topic_key("t2")));
    EXPECT_FALSE(lost.concerns(topic_key("t1")));
    chosen = events.keep_what_has_room(0, all_bytes, 77, lost);
    EXPECT_EQ(chosen.events, 0u);
    EXPECT_EQ(lost.count, 3u);
    EXPECT_TRUE(chosen_of(events).empty());
}

// ---- any transaction ----

struct Model {
    struct Entry {
        int level;
        uint64_t topic; // 0: a generation
        std::string bytes;
        Delivery delivery;
        bool is_lost = false;
        bool is_definition = false;
    };
    std::vector<Entry> entries;
    std::map<uint64_t, int> keys, collapsed;

    void add_lost(int level, uint64_t topic, Delivery delivery, const std::string &reason) {
        bool keeps = delivery != Delivery::state_change && delivery != Delivery::if_subscribed;
        entries.push_back({.level = level,
                           .topic = topic,
                           .bytes = lost_of(topic, reason).bytes,
                           .delivery = keeps ? delivery : Delivery::if_subscribed,
                           .is_lost = true});
    }
    void add(int level, uint64_t topic, const std::string &text, Delivery delivery) {
        if (collapsed.contains(topic))
            return;
        std::string bytes = event_of(topic, text).bytes;
        uint64_t events = 0, held = 0;
        for (const Entry &entry : entries)
            if (entry.topic == topic)
                events++, held += entry.bytes.size();
        if (bytes.size() > kBounds.bytes)
            return add_lost(level, topic, delivery, "an event was larger than rtd.queue_size");
        if (events >= kBounds.events || held > kBounds.bytes) {
            std::erase_if(entries, [&](const Entry &entry) {
                return entry.topic == topic && entry.level >= level;
            });
            collapsed.emplace(topic, level);
            return add_lost(level, topic, delivery,
                            "a transaction made more events than rtd.max_transaction_events");
        }
        entries.push_back({.level = level, .topic = topic, .bytes = bytes, .delivery = delivery});
    }

    bool has_or_add_key(int level, uint64_t key, uint64_t topic) {
        return collapsed.contains(topic) || !keys.emplace(key, level).second;
    }
    void release(int level) {
        for (Entry &entry : entries)
            entry.level = std::min(entry.level, level - 1);
        for (auto *levels : {&keys, &collapsed})
            for (auto &[key, made_at] : *levels)
                made_at = std::min(made_at, level - 1);
    }
    void roll_back(int level) {
        std::erase_if(entries, [=](const Entry &entry) { return entry.level >= level; });
        for (auto *levels : {&keys, &collapsed})
            std::erase_if(*levels, [=](const auto &entry) { return entry.second >= level; });
    }
    // What subscribers of the topics in `wanted` are to get.
    std::vector<std::string> published(const std::set<uint64_t> &wanted) const {
        std::vector<std::string> result;
        for (const Entry &entry : entries) {
            if (entry.topic == 0 || !wanted.contains(entry.topic) ||
                (collapsed.contains(entry.topic) && !entry.is_lost))
                continue;
            bool is_ordered = entry.delivery != Delivery::state_change &&
                              entry.delivery != Delivery::keyed_change;
            result.push_back("t" + std::to_string(entry.topic) + (entry.is_lost ? " lost" : "") +
                             (is_ordered ? " ordered " : " ") +
                             (entry.is_lost ? "" : (*decode_event(entry.bytes)).payload));
        }
        return result;
    }
    bool must_be_announced() const {
        return std::ranges::any_of(entries, [](const Entry &entry) {
            return entry.topic != 0 && entry.delivery != Delivery::state_change;
        });
    }
};

// A topic's events all have its own delivery, as its kind says.
Delivery delivery_of(uint64_t topic) {
    return static_cast<Delivery>(topic % 5);
}

TEST(TransactionEvents, any_transaction_publishes_what_the_naive_list_has_at_its_end) {
    uint64_t collapses = 0, published = 0, announced = 0;
    for (unsigned seed = 1; seed <= 3000; seed++) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        auto below = [&](unsigned most) { return static_cast<unsigned>(random() % most); };
        const unsigned topics = seed % 2 == 0 ? 4 : 30;
        TransactionEvents events;
        // One object for the transactions of a session: nothing of one is left for the next.
        for (int transaction = 0; transaction < 2; transaction++) {
            Model model;
            int level = 1;
            for (unsigned step = below(60); step > 0; step--) {
                uint64_t topic = 1 + below(topics);
                std::string name = "t" + std::to_string(topic);
                switch (below(10)) {
                case 0:
                    level++;
                    break;
                case 1:
                    if (level > 1)
                        events.release(level), model.release(level), level--;
                    break;
                case 2:
                    if (level > 1)
                        events.roll_back(level), model.roll_back(level), level--;
                    break;
                case 3: {
                    bool is_definition = below(2) == 0;
                    events.add_generation(level, is_definition);
                    model.entries.push_back({.level = level,
                                             .topic = 0,
                                             .bytes = "",
                                             .delivery = Delivery::always,
                                             .is_definition = is_definition});
                    break;
                }
                case 4: {
                    uint64_t key = below(20);
                    ASSERT_EQ(events.has_or_add_key(level, key, topic_key(name)),
                              model.has_or_add_key(level, key, topic));
                    break;
                }
                default:
                    std::string text(below(20) == 0 ? 500 : below(3),
                                     static_cast<char>('a' + below(26)));
                    events.add(level, event_of(topic, text), name, delivery_of(topic), kBounds);
                    model.add(level, topic, text, delivery_of(topic));
                }
                ASSERT_EQ(events.must_be_announced(), model.must_be_announced());
            }
            for (; level > 1; level--)
                events.release(level), model.release(level);
            std::set<uint64_t> wanted;
            for (uint64_t topic = 1; topic <= topics; topic++)
                if (below(4) > 0)
                    wanted.insert(topic);
            std::set<uint64_t> wanted_keys;
            for (uint64_t topic : wanted)
                wanted_keys.insert(topic_key("t" + std::to_string(topic)));
            TransactionEvents::Chosen chosen = events.choose(
                [&](const HeldEvent &event) { return wanted_keys.contains(event.topic_key); });
            std::vector<std::string> expected = model.published(wanted);
            ASSERT_EQ(chosen_of(events), expected);
            ASSERT_EQ(chosen.events, expected.size());
            ASSERT_EQ(chosen.has_ordered, std::ranges::any_of(expected, [](const auto &text) {
                          return text.find("ordered") != std::string::npos;
                      }));
            for (bool is_definition : {false, true})
                ASSERT_EQ(is_definition ? chosen.moves_definitions : chosen.moves_catalog,
                          std::ranges::any_of(model.entries, [=](const Model::Entry &entry) {
                              return entry.topic == 0 && entry.is_definition == is_definition;
                          }));
            collapses += model.collapsed.size();
            published += expected.size();
            announced += model.must_be_announced();
            events.clear();
            ASSERT_TRUE(events.empty());
        }
    }
    EXPECT_GT(collapses, 100u);
    EXPECT_GT(published, 1000u);
    EXPECT_GT(announced, 100u);
}

} // namespace
} // namespace rtd
