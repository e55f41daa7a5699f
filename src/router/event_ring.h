// EventRing: the memory of the event queue, from all backends to the hub. Pure logic on memory that
// processes share; pg/shared/event_queue.h has the lock and the waking around it.
//
// A transaction's events are one batch. Its writer reserves the batch under the lock, which takes
// the same few instructions for any size, fills it without the lock, and finishes it. The hub walks
// over all batches without the lock, takes those that are finished whole, and leaves the others for
// another time, wherever they lie: a writer that stands still in the middle holds up nobody. Room
// is given back in the order of the batches, so it costs room until it goes on.
//
// A writer that cannot go on abandons its batch: the hub passes over it, as over one that it took
// itself, and learns that events of unknown topics were lost.
#pragma once
#include "core/fence.h"
#include "router/commit_order.h"
#include "router/lost_events.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rtd {

class EventRing {
  public:
    // What `bytes` of events need in a batch of so many.
    static uint64_t batch_bytes(uint64_t events, uint64_t bytes) {
        uint64_t all = sizeof(Header) + events * sizeof(Record) + bytes;
        return (all + kAlignment - 1) / kAlignment * kAlignment;
    }
    static size_t shared_bytes(uint64_t capacity) { return sizeof(EventRing) + capacity; }
    // The object lies at the beginning of its memory. `capacity` is a multiple of 1024.
    void init(uint64_t capacity);

    // ---- under the lock ----

    uint64_t room() const { return capacity_ - (tail_ - head_); }
    // False if there is no room. Otherwise `at` is where the batch lies.
    bool reserve(uint64_t bytes, CommitPosition position, uint64_t *at);
    void lose(const LostEvents &events) { lost_.add(events); }

    // ---- without it: the writer of a batch ----

    // Puts the events of its batch there, one after the other.
    class Writer {
      public:
        Writer(EventRing &ring, uint64_t batch) : ring_(ring), at_(batch + sizeof(Header)) {}
        // `is_ordered`: has its place in the order of commits; otherwise it is before everything.
        void add(std::string_view event, bool is_ordered);

      private:
        EventRing &ring_;
        uint64_t at_;
    };
    // How many of a batch's events there are is known only now.
    void finish(uint64_t batch, uint32_t events);
    void abandon(uint64_t batch);

  private:
    friend class EventRingReader;

    enum class State : uint32_t { reserved, finished, abandoned, taken };
    struct Header {
        std::atomic<State> state;
        uint32_t events;
        uint64_t bytes; // of the batch, this header included
        uint64_t commit_lsn;
        uint64_t has_commit_record;
        CommitPosition position() const { return {commit_lsn, has_commit_record != 0}; }
    };
    struct Record {
        uint32_t size; // of the event's bytes, which follow
        uint32_t is_ordered;
    };
    // So a header never lies around the ring's end.
    static constexpr uint64_t kAlignment = 32;
    static_assert(sizeof(Header) == kAlignment);
    static_assert(std::atomic<State>::is_always_lock_free);

    char *bytes() { return reinterpret_cast<char *>(this + 1); }
    Header &header_of(uint64_t batch) {
        return *reinterpret_cast<Header *>(bytes() + batch % capacity_);
    }
    void copy_in(uint64_t at, const void *data, uint64_t size);
    void copy_out(uint64_t at, void *data, uint64_t size);

    // They count bytes since the last restart from zero; the ring holds [head, tail).
    uint64_t head_;
    uint64_t tail_;
    uint64_t capacity_;
    LostEvents lost_; // since they were last taken
};

// The hub's end. One at a time; a new one begins with what the last one left.
class EventRingReader {
  public:
    explicit EventRingReader(EventRing &ring) : ring_(ring) {}

    // Under the lock: gives back the room of what was taken, and finds what is there now. False if
    // nothing is that walk() has not seen.
    bool begin(LostEvents &lost);

    // Without it. Calls `sink(CommitPosition, std::string)` for each event of a batch that was
    // finished since the last walk. `give_back(free)` is called now and then: it calls free() under
    // the lock.
    template <class Sink, class GiveBack>
    void walk(LostEvents &lost, Sink &&sink, GiveBack &&give_back) {
        size_t kept = 0;
        for (size_t i = 0; i < unfinished_.size(); i++)
            if (!take(unfinished_[i], lost, sink))
                unfinished_[kept++] = unfinished_[i];
        unfinished_.resize(kept);
        for (uint64_t end = end_; at_ < end;) {
            if (!take(at_, lost, sink))
                unfinished_.push_back(at_);
            at_ += ring_.header_of(at_).bytes;
            // The ring must not begin anew while it is walked over.
            if (at_ < end && free_end() - ring_.head_ >= kFreedBytes)
                give_back([this] { ring_.head_ = free_end(); });
        }
    }

  private:
    static constexpr uint64_t kFreedBytes = 1 << 16;

    // Everything before is taken.
    uint64_t free_end() const { return unfinished_.empty() ? at_ : unfinished_.front(); }

    // False if it is not finished.
    template <class Sink> bool take(uint64_t batch, LostEvents &lost, Sink &&sink) {
        EventRing::Header &header = ring_.header_of(batch);
        EventRing::State state = header.state.load(std::memory_order_acquire);
        if (state == EventRing::State::reserved)
            return false;
        if (state == EventRing::State::taken)
            return true;
        // First: what cannot be copied for want of memory must not come again and again.
        header.state.store(EventRing::State::taken, std::memory_order_relaxed);
        if (state == EventRing::State::abandoned)
            lose_unknown(header, lost);
        else
            copy_events(batch, sink);
        return true;
    }

    template <class Sink> void copy_events(uint64_t batch, Sink &&sink) {
        const EventRing::Header &header = ring_.header_of(batch);
        uint64_t at = batch + sizeof header;
        for (uint32_t i = 0; i < header.events; i++) {
            EventRing::Record record{};
            ring_.copy_out(at, &record, sizeof record);
            std::string event(record.size, '\0');
            ring_.copy_out(at + sizeof record, event.data(), record.size);
            at += sizeof record + record.size;
            sink(record.is_ordered ? header.position() : CommitPosition{}, std::move(event));
        }
    }

    static void lose_unknown(const EventRing::Header &header, LostEvents &lost) {
        lost.count++;
        lost.up_to = std::max(lost.up_to, header.commit_lsn);
        lost.of_any_topic = true;
    }

    EventRing &ring_;
    bool has_begun_ = false;
    uint64_t at_ = 0, end_ = 0;
    std::vector<uint64_t> unfinished_; // batches before at_, of as many writers
};

} // namespace rtd
