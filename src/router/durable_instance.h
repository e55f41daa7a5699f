// DurableInstance: an instance of a durable topic. Its messages are rows of rtd_message, numbered
// by a query worker (message_log.h) and sent in the order of their numbers. The newest ones are
// also in memory, for subscribers that come back soon.
//
// For the first subscriber a query worker reads the newest messages, before it numbers what commits
// from then on: so the subscriber misses none of that. A subscriber that resumes from a message
// that memory still follows gets the rest at once and is live. One that resumes from further back
// is `behind`: it waits, and is handed what it missed as it is read, until it has caught up.
// Nothing is numbered while something is read, so there is no gap and no repetition between the
// two. If nothing can be read, those who wait for it are refused after a moment.
//
// The epoch of its ids changes with the server's timeline while the numbers go on. So an id is
// known if its epoch is the instance's, or a former one that had this number before the timelines
// parted.
//
// A number that does not follow the last one means that somebody else numbered, a query worker
// whose end was not seen: the instance reads what it missed before it goes on.
#pragma once
#include "core/fence.h"
#include "router/instance.h"

#include <map>
#include <vector>

namespace rtd {

class DurableInstance final : public Instance {
  public:
    using Instance::Instance;

    void subscribe(const link::Subscribe &request, Now now) override;
    void unsubscribe(uint64_t subscription) override;
    std::optional<link::Ended> give_up_waiting(Now now) override;
    std::vector<uint64_t> waiting_subscriptions() const override;
    std::optional<int64_t> next_deadline_ms() const override;
    // Its events are rows, which come back as messages; lost ones are recovered.
    void handle(const Event &, Now) override {}
    void handle_loss(const Loss &, Now) override {}
    // Its numbers may have begun anew: see rtd_alter_topic().
    void redefine(std::shared_ptr<const Topic> topic, Now now) override {
        Instance::redefine(std::move(topic), now);
        doubt();
    }
    // All of it is in the table.
    bool is_worth_keeping() const override { return false; }

    void receive(const NumberedMessage &message, Now now) override;
    void doubt() override { is_doubtful_ = true; }

    bool is_loading() const override { return !is_loaded_; }
    bool is_behind() const override { return !is_loaded_ || is_doubtful_ || !behind_.empty(); }
    ReadJob next_read() const override;
    void finish_read(const ReadOutcome &outcome, Now now) override;
    void fail_read(Now now) override;

  protected:
    const Sent *first_message() override;

  private:
    bool awaits_read() const { return !unanswered_.empty() || !behind_.empty(); }
    std::optional<uint64_t> position_of(const std::string &since) const;
    bool goes_on(const ReadOutcome &outcome) const;
    void load(const ReadOutcome &outcome, Now now);
    void begin_anew(const ReadOutcome &outcome, Now now);
    void catch_up(const ReadOutcome &outcome, Now now);
    void skip_to(uint64_t sequence, Now now);
    void answer(const link::Subscribe &request, Now now);
    Sent gap(uint64_t sequence, Now now) const;
    void append(const NumberedMessage &message);
    void hand_out(const ReadOutcome &outcome, uint64_t after, Now now);

    bool is_loaded_ = false;
    bool is_doubtful_ = false;
    std::vector<FormerEpoch> former_;         // before epoch_, ascending
    std::optional<int64_t> answer_by_ms_;     // then those who wait for it are refused
    uint64_t oldest_ = 1;                     // kept in the table, when it was last read
    Sent last_;                               // message number sequence_, empty if it is not kept
    std::vector<link::Subscribe> unanswered_; // came before the newest messages were read
    std::map<uint64_t, uint64_t> behind_;     // subscription to the last number it has
};

} // namespace rtd
