// HeldEvents: what a transaction holds back until it commits: its events, the keys of changes that
// need no repetition, and which topics have given up telling their events apart. Pure memory, in
// the backend that writes; pg/writer/pending_events.h says when it is asked.
//
// A savepoint that is rolled back takes along what was added since. So everything is a stack, and a
// mark says how high it was when the first addition of a nesting level came: a release joins two
// marks, and a rollback undoes what lies above one. Neither looks at what was there before, so a
// savepoint for each row costs as much for the last row as for the first.
#pragma once
#include "core/fence.h"
#include "router/event.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace rtd {

// Which events the commit callback may drop.
enum class Delivery : uint8_t {
    if_subscribed, // when no subscriber is interested
    state_change,  // that, or when the hub already knows that the state changed
    keyed_change,  // as if_subscribed, and it needs no place in the order of commits
    always,        // never: a retained topic keeps the newest message
    stored,        // when no hub serves the database: the next one finds the row by itself
};

// An event as the queue carries it, and what the commit callback must know of it.
struct PreparedEvent {
    uint64_t interest_key = 0;
    uint64_t topic_key = 0;
    // Concerns everything that has its interest key: one instance, or the whole topic. One that
    // knows only some parameters shares the topic's key with others that know others.
    bool covers_interest = false;
    bool says_lost = false;
    std::string bytes = {};
};
PreparedEvent prepare(const Event &event);

struct HeldEvent {
    Delivery delivery = Delivery::always;
    bool may_be_known = false; // a state change that the mark of its interest key covers
    bool says_lost = false;    // stands for events that are not kept
    uint64_t interest_key = 0;
    uint64_t topic_key = 0;
    size_t offset = 0;          // of its bytes in bytes()
    size_t size = 0;            // 0: a generation is to be raised
    bool is_definition = false; // of definitions; otherwise of the catalog
    bool is_chosen = false;     // to be published, see transaction_events.h
};

class HeldEvents {
  public:
    // How much of one topic is held.
    struct Tally {
        uint64_t topic_key = 0;
        uint64_t events = 0;
        uint64_t bytes = 0;
        bool is_collapsed = false; // an event that says they are lost stands for the others
    };

    // `level` is the nesting level of the running subtransaction, 1 outside of any. It is never
    // lower than that of an addition that was neither released nor rolled back.
    void add(int level, const PreparedEvent &event, Delivery delivery);
    // Raises a generation at the commit.
    void add_generation(int level, bool is_definition);
    // False if the key is held already.
    bool add_key(int level, uint64_t key);
    // The topic's events of this subtransaction go; those of its parents, as many as the bound at
    // most, are kept for the case that this one is rolled back. Its events are superseded until
    // then.
    void collapse(int level, uint64_t topic_key);

    // A released savepoint hands what it holds to its parent.
    void release(int level);
    void roll_back(int level);
    // The end of the transaction. What a large one leaves behind is given back.
    void clear();

    bool empty() const { return events_.empty(); }
    const std::vector<HeldEvent> &events() const { return events_; }
    std::vector<HeldEvent> &events() { return events_; } // to choose among them
    std::string_view bytes_of(const HeldEvent &event) const {
        return {bytes_.data() + event.offset, event.size};
    }
    const Tally *find_tally(uint64_t topic_key) const;
    bool is_collapsed(uint64_t topic_key) const {
        const Tally *tally = find_tally(topic_key);
        return tally != nullptr && tally->is_collapsed;
    }
    // Its topic collapsed after it was made.
    bool is_superseded(const HeldEvent &event) const {
        return !collapsed_.empty() && !event.says_lost && event.size > 0 &&
               is_collapsed(event.topic_key);
    }
    // How many entries were looked at to release, roll back and collapse: what savepoints cost.
    uint64_t steps() const { return steps_; }

  private:
    // How high the stacks were before the first addition of the level.
    struct Mark {
        int level;
        size_t events, keys, collapsed;
    };

    Mark &mark(int level);
    Tally &tally_of(uint64_t topic_key);
    void untally(const HeldEvent &event);

    std::vector<Mark> marks_; // by rising level
    std::vector<HeldEvent> events_;
    std::string bytes_; // their encoded events, one after the other
    std::unordered_set<uint64_t> keys_;
    std::vector<uint64_t> key_stack_; // the same, in the order in which they came
    std::vector<uint64_t> collapsed_; // topics
    std::vector<Tally> tallies_;
    std::unordered_map<uint64_t, size_t> tally_index_; // only of many
    uint64_t steps_ = 0;
};

} // namespace rtd
