// DurableInstance: an instance of a durable topic. Its messages are rows of rtd_message, numbered
// by a query worker (message_log.h) and sent in the order of their numbers. The newest ones are
// also in memory, for subscribers that come back soon.
//
// An instance that is made knows nothing: subscribers are answered when the newest messages were
// read. One that resumes from a message that memory still follows gets the rest at once and is
// live. One that resumes from further back is `behind`: it waits, and is handed what it missed as
// it is read, until it has caught up. Nothing is numbered while something is read, so there is no
// gap and no repetition between the two.
//
// A number that does not follow the last one means that somebody else numbered, a query worker
// whose end was not seen: the instance reads what it missed before it goes on.
#pragma once
#include "core/fence.h"
#include "core/instance.h"

#include <deque>
#include <map>

namespace rtd {

class DurableInstance final : public Instance {
  public:
    using Instance::Instance;

    void subscribe(const link::Subscribe &request, Now now) override;
    void unsubscribe(uint64_t subscription) override;
    // Its events are rows, which come back as messages; lost ones are recovered.
    void handle(const Event &, Now) override {}
    void handle_loss(const std::string &, Now) override {}

    void receive(const NumberedMessage &message, Now now) override;
    void doubt() override { is_doubtful_ = true; }

    bool is_behind() const override { return !is_loaded_ || is_doubtful_ || !behind_.empty(); }
    ReadJob next_read() const override;
    void finish_read(const ReadOutcome &outcome, Now now) override;

  protected:
    const Sent *first_message() override;

  private:
    void load(const ReadOutcome &outcome, Now now);
    void begin_anew(const ReadOutcome &outcome, Now now);
    void catch_up(const ReadOutcome &outcome, Now now);
    void skip_to(uint64_t sequence, Now now);
    void answer(uint64_t subscription, const std::string &since, Now now);
    void replay(uint64_t subscription, uint64_t after);
    void tell_gap(uint64_t subscription, uint64_t sequence, Now now);
    Sent gap(uint64_t sequence, Now now) const;
    void append(const NumberedMessage &message);
    void hand_out(const ReadOutcome &outcome, uint64_t after, Now now);
    void forget_recent();
    // Number of the oldest message in memory.
    uint64_t first_recent() const { return sequence_ + 1 - recent_.size(); }

    bool is_loaded_ = false;
    bool is_doubtful_ = false;
    uint64_t oldest_ = 1;     // kept in the table, when it was last read
    std::deque<Sent> recent_; // the newest messages, without a hole, up to sequence_
    size_t recent_bytes_ = 0;
    std::map<uint64_t, std::string> unanswered_; // subscription to the `since` it came with
    std::map<uint64_t, uint64_t> behind_;        // subscription to the last number it has
};

} // namespace rtd
