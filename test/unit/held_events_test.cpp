// What a transaction holds back, through any nesting of savepoints, compared with a model that
// keeps the level of every entry and looks at all of them. A savepoint for each row once cost 65
// times as much as without rtd, because its release did the same.
#include "router/held_events.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace rtd {
namespace {

PreparedEvent event_of(uint64_t topic, const std::string &bytes) {
    return {.interest_key = topic, .topic_key = topic, .bytes = bytes};
}

uint64_t steps_of_savepoints(int rows, bool rolls_back) {
    HeldEvents held;
    for (int row = 0; row < rows; row++) {
        EXPECT_TRUE(held.add_key(2, 1000 + static_cast<uint64_t>(row)));
        held.add(2, event_of(1, "row"), Delivery::state_change);
        rolls_back ? held.roll_back(2) : held.release(2);
    }
    EXPECT_EQ(held.events().size(), rolls_back ? 0u : static_cast<size_t>(rows));
    return held.steps();
}

TEST(HeldEvents, a_savepoint_for_each_row_costs_the_same_for_each_row) {
    for (bool rolls_back : {false, true})
        EXPECT_LE(steps_of_savepoints(20'000, rolls_back), 3u * 20'000) << rolls_back;
}

TEST(HeldEvents, a_savepoint_in_a_savepoint_and_so_on_costs_a_step_for_each_level) {
    HeldEvents held;
    for (int level = 2; level < 1002; level++) {
        held.add_key(level, static_cast<uint64_t>(level));
        held.add(level, event_of(1, "row"), Delivery::always);
    }
    for (int level = 1001; level > 1; level--)
        held.release(level);
    EXPECT_LE(held.steps(), 1000u);
    held.roll_back(2); // all of it is the top level's by now
    EXPECT_EQ(held.events().size(), 1000u);
}

// An event beyond the bound in a savepoint that is rolled back, again and again, after a parent
// that has as many as the bound.
TEST(HeldEvents, a_topic_that_collapses_in_every_savepoint_does_not_look_at_the_parents_events) {
    HeldEvents held;
    for (int row = 0; row < 10'000; row++)
        held.add(1, event_of(1, "row of the parent"), Delivery::always);
    for (int savepoint = 0; savepoint < 1000; savepoint++) {
        held.add(2, event_of(1, "row"), Delivery::always);
        held.collapse(2, 1);
        EXPECT_TRUE(held.is_superseded(held.events().front()));
        held.roll_back(2);
        EXPECT_FALSE(held.is_superseded(held.events().front()));
    }
    EXPECT_LE(held.steps(), 5u * 1000);
    EXPECT_EQ(held.find_tally(1)->events, 10'000u);
    EXPECT_EQ(held.bytes_of(held.events().back()), "row of the parent");
}

// Every entry with its level; release and rollback look at all of them.
struct Model {
    struct Entry {
        int level;
        uint64_t topic;
        std::string bytes;
        bool says_lost = false;
    };
    std::vector<Entry> events;
    std::map<uint64_t, int> keys, collapsed; // to their level

    void collapse(int level, uint64_t topic) {
        std::erase_if(events, [&](const Entry &entry) {
            return entry.topic == topic && entry.level >= level && !entry.bytes.empty();
        });
        collapsed.try_emplace(topic, level);
    }
    void release(int level) {
        for (Entry &entry : events)
            entry.level = std::min(entry.level, level - 1);
        for (auto *levels : {&keys, &collapsed})
            for (auto &[key, made_at] : *levels)
                made_at = std::min(made_at, level - 1);
    }
    void roll_back(int level) {
        std::erase_if(events, [=](const Entry &entry) { return entry.level >= level; });
        for (auto *levels : {&keys, &collapsed})
            std::erase_if(*levels, [=](const auto &entry) { return entry.second >= level; });
    }
};

void expect_equal(const HeldEvents &held, const Model &model, uint64_t topics) {
    ASSERT_EQ(held.events().size(), model.events.size());
    for (size_t i = 0; i < model.events.size(); i++) {
        const Model::Entry &expected = model.events[i];
        ASSERT_EQ(held.bytes_of(held.events()[i]), expected.bytes);
        ASSERT_EQ(held.is_superseded(held.events()[i]), model.collapsed.contains(expected.topic) &&
                                                            !expected.says_lost &&
                                                            !expected.bytes.empty());
    }
    for (uint64_t topic = 1; topic <= topics; topic++) {
        uint64_t events = 0, bytes = 0;
        for (const Model::Entry &entry : model.events)
            if (entry.topic == topic && !entry.bytes.empty())
                events++, bytes += entry.bytes.size();
        const HeldEvents::Tally *tally = held.find_tally(topic);
        ASSERT_EQ(tally != nullptr ? tally->events : 0, events);
        ASSERT_EQ(tally != nullptr ? tally->bytes : 0, bytes);
        ASSERT_EQ(held.is_collapsed(topic), model.collapsed.contains(topic));
    }
}

TEST(HeldEvents, any_nesting_of_savepoints_holds_what_the_model_holds) {
    for (unsigned seed = 1; seed <= 200; seed++) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        auto below = [&](unsigned most) { return static_cast<unsigned>(random() % most); };
        const uint64_t topics = seed % 2 == 0 ? 3 : 40;
        HeldEvents held;
        Model model;
        int level = 1;
        for (int step = 0; step < 400; step++) {
            uint64_t topic = 1 + below(static_cast<unsigned>(topics));
            switch (below(8)) {
            case 0:
                level++;
                break;
            case 1:
                if (level > 1)
                    held.release(level), model.release(level), level--;
                break;
            case 2:
                if (level > 1)
                    held.roll_back(level), model.roll_back(level), level--;
                break;
            case 3:
                if (!model.collapsed.contains(topic)) {
                    held.collapse(level, topic), model.collapse(level, topic);
                    PreparedEvent lost = event_of(topic, "lost");
                    lost.says_lost = true;
                    held.add(level, lost, Delivery::always);
                    model.events.push_back({level, topic, "lost", true});
                }
                break;
            case 4:
                held.add_generation(level, false);
                model.events.push_back({level, 0, ""});
                break;
            case 5: {
                uint64_t key = below(30);
                EXPECT_EQ(held.add_key(level, key), model.keys.try_emplace(key, level).second);
                break;
            }
            default:
                std::string bytes(1 + below(9), static_cast<char>('a' + below(26)));
                held.add(level, event_of(topic, bytes), Delivery::always);
                model.events.push_back({level, topic, bytes});
            }
            ASSERT_NO_FATAL_FAILURE(expect_equal(held, model, topics));
        }
        held.clear();
        EXPECT_TRUE(held.empty());
        EXPECT_EQ(held.find_tally(1), nullptr);
    }
}

} // namespace
} // namespace rtd
