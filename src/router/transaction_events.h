// TransactionEvents: what becomes of the events of one transaction, from the first one until it is
// published or rolled back. HeldEvents keeps them through savepoints; here is what decides: when a
// topic has too many, which change needs no repetition, whether the commit must be announced, and
// which events are published.
//
// Pure memory. Adding may fail for want of it, where an error is still an ordinary one. What runs
// after the commit (choose(), drop_what_has_no_room(), each_chosen()) allocates nothing.
#pragma once
#include "core/fence.h"
#include "router/held_events.h"
#include "router/lost_events.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rtd {

class TransactionEvents {
  public:
    // Of one topic, in one transaction. What is beyond would be lost later anyway.
    struct Bounds {
        uint64_t events;
        uint64_t bytes;
    };

    // ---- while it runs; `level` as HeldEvents has it ----

    // Beyond the bounds the topic's events give way to one that says they are lost, so that a
    // transaction of any size keeps its session's memory and the queue small.
    void add(int level, const PreparedEvent &event, const std::string &topic, Delivery delivery,
             const Bounds &bounds);
    // Instead of events that could not be made, whatever the topic is.
    void add_lost(int level, const std::string &topic, const std::string &reason,
                  Delivery delivery);
    // True if a change with this key is held already, or if all of its topic has changed: then
    // there is no end of keys to remember.
    bool has_or_add_key(int level, uint64_t key, uint64_t topic_key);
    void add_generation(int level, bool is_definition) {
        held_.add_generation(level, is_definition);
    }

    void release(int level) { held_.release(level); }
    void roll_back(int level) { held_.roll_back(level); }
    void clear() { held_.clear(); }
    bool empty() const { return held_.empty(); }

    // The hub must be able to tell that the commit is still to come: for a place in the order of
    // commits, or because a query may see it before.
    bool must_be_announced() const;

    // ---- once it is committed ----

    struct Chosen {
        uint32_t events = 0;
        uint64_t bytes = 0; // of these
        bool has_ordered = false;
        bool moves_definitions = false, moves_catalog = false; // generations to be raised
    };

    // Chooses what `is_wanted(const HeldEvent &)` says is wanted, of that what is not superseded.
    template <class IsWanted> Chosen choose(IsWanted &&is_wanted) {
        Chosen chosen;
        for (HeldEvent &event : held_.events()) {
            if (event.size == 0) {
                (event.is_definition ? chosen.moves_definitions : chosen.moves_catalog) = true;
                continue;
            }
            event.is_chosen = !held_.is_superseded(event) && is_wanted(event);
            if (event.is_chosen)
                count(event, chosen);
        }
        return chosen;
    }
    // Of what is chosen, keeps what `batch_bytes(events, bytes)` says has room: an event that is
    // too large goes alone. What goes is added to `lost`.
    template <class BatchBytes>
    Chosen keep_what_has_room(uint64_t room, BatchBytes &&batch_bytes, uint64_t commit_lsn,
                              LostEvents &lost) {
        Chosen kept;
        for (HeldEvent &event : held_.events()) {
            if (!event.is_chosen)
                continue;
            event.is_chosen = batch_bytes(kept.events + 1, kept.bytes + event.size) <= room;
            if (event.is_chosen)
                count(event, kept);
            else
                lost.add(event.topic_key, is_ordered(event) ? commit_lsn : 0);
        }
        return kept;
    }
    // Calls `sink(std::string_view bytes, bool is_ordered)` in the order in which they were made.
    template <class Sink> void each_chosen(Sink &&sink) const {
        for (const HeldEvent &event : held_.events())
            if (event.is_chosen)
                sink(held_.bytes_of(event), is_ordered(event));
    }

    const HeldEvents &held() const { return held_; }

  private:
    static bool is_announced(const HeldEvent &event) {
        return event.size > 0 && event.delivery != Delivery::state_change;
    }
    // Has its place in the order of commits.
    static bool is_ordered(const HeldEvent &event) {
        return is_announced(event) && event.delivery != Delivery::keyed_change;
    }
    static void count(const HeldEvent &event, Chosen &chosen) {
        chosen.events++;
        chosen.bytes += event.size;
        chosen.has_ordered = chosen.has_ordered || is_ordered(event);
    }

    HeldEvents held_;
};

} // namespace rtd
