#include "router/commit_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace rtd {
namespace {

TEST(CommitOrder, releases_in_order_of_commit_not_of_arrival) {
    CommitOrder order;
    order.add({30}, "c");
    order.add({10}, "a");
    order.add({20}, "b");
    EXPECT_EQ(order.next(100), "a");
    EXPECT_EQ(order.next(100), "b");
    EXPECT_EQ(order.next(100), "c");
    EXPECT_EQ(order.next(100), std::nullopt);
}

TEST(CommitOrder, holds_what_lies_beyond_the_bound) {
    CommitOrder order;
    order.add({30}, "c");
    order.add({10}, "a");
    EXPECT_EQ(order.next(29), "a");
    EXPECT_EQ(order.next(29), std::nullopt);
    EXPECT_EQ(order.first_lsn(), 30u);
    EXPECT_EQ(order.next(30), "c");
    EXPECT_TRUE(order.empty());
}

TEST(CommitOrder, counts_the_bytes_of_what_it_holds) {
    CommitOrder order;
    EXPECT_EQ(order.bytes(), 0u);
    order.add({20, true}, "four");
    order.add({10, true}, "sixsix");
    EXPECT_EQ(order.bytes(), 10u);
    EXPECT_EQ(order.next(10), "sixsix");
    EXPECT_EQ(order.bytes(), 4u);
    EXPECT_FALSE(order.next(19));
    EXPECT_EQ(order.next(UINT64_MAX), "four");
    EXPECT_EQ(order.bytes(), 0u);
}

TEST(CommitOrder, keeps_the_order_within_a_transaction) {
    CommitOrder order;
    for (int i = 0; i < 100; i++)
        order.add({7}, std::to_string(i));
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(order.next(7), std::to_string(i));
}

TEST(CommitOrder, a_transaction_that_wrote_nothing_comes_after_the_one_it_may_have_seen) {
    CommitOrder order;
    order.add({7, false}, "saw it");
    order.add({7, true}, "committed");
    EXPECT_EQ(order.next(7), "committed");
    EXPECT_EQ(order.next(7), "saw it");
}

// The protocol, simulated: many backends, each of which at every step may be anywhere between
// "announced" and "withdrawn", and a hub that scans and drains at any moment, in two separate
// steps. Property: what is released is in order of commit, complete, and without repetition.
class Simulation {
  public:
    explicit Simulation(uint32_t seed) : random_(seed) {}

    void run() {
        for (int step = 0; step < 4000; step++) {
            if (random_() % 4 == 0)
                hub_step();
            else
                backend_step(backends_[random_() % backends_.size()], step < 3500);
        }
        while (std::ranges::any_of(backends_, [](const Backend &b) { return b.phase != 0; }))
            for (Backend &backend : backends_)
                backend_step(backend, false);
        for (int i = 0; i < 4; i++)
            hub_step();
        EXPECT_TRUE(order_.empty());
        EXPECT_EQ(released_.size(), committed_) << "every event, once";
        EXPECT_TRUE(std::ranges::is_sorted(released_));
    }

  private:
    struct Backend {
        int phase = 0;
        uint64_t announced = 0, commit = 0;
    };

    void backend_step(Backend &backend, bool may_begin) {
        switch (backend.phase) {
        case 0: // reads the WAL's end...
            if (!may_begin)
                return;
            backend.announced = wal_end_;
            break;
        case 1: // ...and announces it; others may insert in between
            announcements_[&backend] = backend.announced;
            break;
        case 2: // inserts its commit record
            wal_end_ += 1 + random_() % 3;
            backend.commit = wal_end_;
            break;
        case 3: // flush, visible
            break;
        case 4: // publishes, or aborts
            if (random_() % 10 != 0) {
                ring_.push_back(backend.commit);
                committed_++;
            }
            break;
        case 5:
            announcements_.erase(&backend);
            backend.phase = -1;
            break;
        }
        backend.phase++;
    }

    void hub_step() {
        if (!scanned_) {
            bound_ = wal_end_;
            for (const auto &[backend, announced] : announcements_)
                bound_ = std::min(bound_, announced);
            scanned_ = true;
            return;
        }
        for (uint64_t commit : ring_)
            order_.add({commit}, std::to_string(commit));
        ring_.clear();
        while (std::optional<std::string> event = order_.next(bound_))
            released_.push_back(std::stoull(*event));
        scanned_ = false;
    }

    std::mt19937 random_;
    std::vector<Backend> backends_{12};
    std::map<Backend *, uint64_t> announcements_;
    std::vector<uint64_t> ring_;
    uint64_t wal_end_ = 1;
    uint64_t bound_ = 0;
    bool scanned_ = false;
    CommitOrder order_;
    std::vector<uint64_t> released_;
    size_t committed_ = 0;
};

TEST(CommitOrder, holds_whatever_backends_and_hub_do_in_between) {
    for (uint32_t seed = 1; seed <= 300; seed++) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Simulation(seed).run();
    }
}

} // namespace
} // namespace rtd
