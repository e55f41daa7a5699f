// CommitOrder: puts events that reach the hub in the order their transactions committed, without a
// lock across the commit. Pure logic; src/pg/shared/announcements.h has the shared memory around
// it.
//
// A transaction with events announces, before it commits, a position in the WAL that its commit
// record cannot precede; after it became visible it publishes its events with the position of its
// commit record, and only then withdraws the announcement. A scan, made BEFORE the events are
// drained, yields a bound: the WAL's end at that moment, or the lowest announcement if that is
// lower. Whoever is not in the scan has either published already, and is drained now, or will
// announce later, and commit beyond the WAL's end. So nothing that comes later can belong before
// the bound, and events up to it may leave.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <string>
#include <vector>

namespace rtd {

// When a transaction committed. One without a commit record (it wrote nothing) takes the WAL's end
// at its publication, and comes after the transaction whose record ends there: it may have seen it.
struct CommitPosition {
    uint64_t lsn = 0;
    bool has_record = true;

    friend bool operator<(const CommitPosition &a, const CommitPosition &b) {
        return a.lsn != b.lsn ? a.lsn < b.lsn : a.has_record > b.has_record;
    }
};

class CommitOrder {
  public:
    // Events of one transaction are added in the order they were made.
    void add(CommitPosition position, std::string event) {
        bytes_ += event.size();
        held_.push({position, next_arrival_++, std::move(event)});
    }

    // The next event whose position lies up to the bound; nullopt if it has to wait, or none is
    // held.
    std::optional<std::string> next(uint64_t bound) {
        if (held_.empty() || held_.top().position.lsn > bound)
            return std::nullopt;
        // The queue gives no mutable access to what is about to be removed; its key stays as it is.
        std::string event = std::move(const_cast<Held &>(held_.top()).event);
        held_.pop();
        bytes_ -= event.size();
        return event;
    }

    bool empty() const { return held_.empty(); }
    size_t size() const { return held_.size(); }
    size_t bytes() const { return bytes_; } // of the events that are held
    // Position of the first one that waits. Only if not empty().
    uint64_t first_lsn() const { return held_.top().position.lsn; }

  private:
    struct Held {
        CommitPosition position;
        uint64_t arrival; // keeps the order within a transaction
        std::string event;
    };
    struct Later {
        bool operator()(const Held &a, const Held &b) const {
            if (a.position < b.position || b.position < a.position)
                return b.position < a.position;
            return b.arrival < a.arrival;
        }
    };

    std::priority_queue<Held, std::vector<Held>, Later> held_;
    uint64_t next_arrival_ = 0;
    size_t bytes_ = 0;
};

} // namespace rtd
