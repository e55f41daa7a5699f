#include "router/dirty_keys.h"
#include "router/keyed_rows.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

std::vector<KeyedRow> rows(std::vector<std::pair<int, int>> values) {
    std::vector<KeyedRow> made;
    for (auto [id, n] : values) {
        std::string key = "{\"id\": " + std::to_string(id) + "}";
        made.push_back({key, n < 0 ? ""
                                   : "{\"id\": " + std::to_string(id) +
                                         ", \"n\": " + std::to_string(n) + "}"});
    }
    return made;
}
constexpr int kGone = -1;

TEST(KeyedRows, of_some_keys_what_differs_is_sent) {
    KeyedRows held;
    held.assign(rows({{1, 1}, {2, 1}, {3, 1}}));
    EXPECT_EQ(held.apply(rows({{1, 1}, {2, 2}})), R"({"upsert":[{"id": 2, "n": 2}],"remove":[]})");
    EXPECT_EQ(held.apply(rows({{3, kGone}, {4, 5}, {9, kGone}})),
              R"({"upsert":[{"id": 4, "n": 5}],"remove":[{"id": 3}]})");
    EXPECT_EQ(held.apply(rows({{1, 1}, {2, 2}, {3, kGone}, {4, 5}})), std::nullopt);
    EXPECT_EQ(held.size(), 3u);
}

TEST(KeyedRows, of_all_rows_those_that_are_missing_are_removed) {
    KeyedRows held;
    held.assign(rows({{1, 1}, {2, 1}}));
    EXPECT_EQ(held.apply_all(rows({{1, 1}, {2, 1}})), std::nullopt);
    EXPECT_EQ(held.apply_all(rows({{2, 7}})),
              R"({"upsert":[{"id": 2, "n": 7}],"remove":[{"id": 1}]})");
    EXPECT_EQ(held.apply_all({}), R"({"upsert":[],"remove":[{"id": 2}]})");
    EXPECT_EQ(held.apply_all(rows({{3, 1}})), R"({"upsert":[{"id": 3, "n": 1}],"remove":[]})");
}

TEST(KeyedRows, the_snapshot_has_the_size_it_says) {
    KeyedRows held;
    EXPECT_EQ(held.snapshot(), "[]");
    EXPECT_EQ(held.snapshot_bytes(), 2u);
    held.assign(rows({{1, 1}}));
    EXPECT_EQ(held.snapshot(), R"([{"id": 1, "n": 1}])");
    for (const auto &change : {rows({{2, 100}, {3, 1}}), rows({{1, kGone}}), rows({{2, 1}}),
                               rows({{2, kGone}, {3, kGone}})}) {
        held.apply(change);
        EXPECT_EQ(held.snapshot().size(), held.snapshot_bytes());
    }
    held.apply_all(rows({{5, 55}, {6, 6}}));
    EXPECT_EQ(held.snapshot().size(), held.snapshot_bytes());
}

TEST(DirtyKeys, are_taken_once_and_each_once) {
    DirtyKeys dirty;
    EXPECT_TRUE(dirty.empty());
    dirty.add({"1", "a"});
    dirty.add({"1", "b"});
    dirty.add({"1", "a"});
    KeySelection taken = dirty.take();
    EXPECT_EQ(taken.keys, (std::vector<Key>{{"1", "a"}, {"1", "b"}}));
    EXPECT_FALSE(taken.all);
    EXPECT_TRUE(dirty.take().empty());
}

TEST(DirtyKeys, an_empty_key_and_too_many_keys_are_all) {
    DirtyKeys dirty;
    dirty.add(Key{"1"});
    dirty.add(Key{});
    dirty.add(Key{"2"});
    KeySelection taken = dirty.take();
    EXPECT_TRUE(taken.all && taken.keys.empty());
    for (size_t i = 0; i < DirtyKeys::kMaxKeys; i++)
        dirty.add(Key{std::to_string(i)});
    dirty.add(Key{"0"});
    EXPECT_EQ(DirtyKeys(dirty).take().keys.size(), DirtyKeys::kMaxKeys);
    dirty.add(Key{"one more"});
    EXPECT_TRUE(dirty.take().all);
}

TEST(DirtyKeys, beyond_is_what_was_not_read) {
    DirtyKeys dirty;
    dirty.add(Key{"1"});
    dirty.add(Key{"3"});
    EXPECT_EQ(dirty.beyond({false, {{"1"}, {"2"}}}).keys, (std::vector<Key>{{"3"}}));
    EXPECT_TRUE(dirty.beyond({false, {{"3"}, {"1"}}}).empty()) << "in any order";
    EXPECT_TRUE(dirty.beyond({true, {}}).empty());
    dirty.add(Key{});
    EXPECT_TRUE(dirty.beyond({false, {{"1"}}}).all);
    EXPECT_FALSE(dirty.empty()) << "nothing is taken";
}

} // namespace
} // namespace rtd
