// EventInstance: an instance of a topic without a query. Every event is a message as it is, and
// lost events are a gap message.
//
// What a new subscriber gets, if the topic retains: the newest event's message, which the hub has
// stored, and then the gap, if events were lost after it. One that resumes from a message that the
// history no longer reaches gets a gap message of its own first; its id is the one before what
// comes next, so that the client can resume from there. While the stored message cannot be read,
// newcomers are refused: to them it would seem that there is none.
#pragma once
#include "core/fence.h"
#include "router/instance.h"

namespace rtd {

class EventInstance final : public Instance {
  public:
    explicit EventInstance(InstanceSetup setup)
        : Instance(setup), last_loss_(std::move(setup.last_loss)) {}

    void subscribe(const link::Subscribe &request, Now now) override;
    std::optional<link::Ended> give_up_waiting(Now now) override;
    void handle(const Event &event, Now now) override;
    void handle_loss(const Loss &loss, Now now) override;
    bool is_worth_keeping() const override { return topic_->history > 0; }
    size_t kept_bytes() const override { return history_.bytes() + retained_.body.size(); }
    void redefine(std::shared_ptr<const Topic> topic, Now now) override;
    std::optional<RetainedMessage> unstored_message() const override;
    bool is_unstored() const override { return unstored_; }
    void mark_stored(uint64_t sequence) override;

  protected:
    const Sent *first_message() override { return retained_.body.empty() ? nullptr : &retained_; }

  private:
    bool load_retained(Now now);
    void tell_gap(const std::string &payload, Now now);
    Sent resume_gap(const std::string &since, Now now) const;

    // Both only if the topic retains.
    Sent retained_; // of the newest event
    Sent gap_;      // newest, if it is newer than that event
    uint64_t retained_sequence_ = 0;
    uint64_t gap_sequence_ = 0;
    std::optional<Loss> last_loss_; // before the instance was made
    bool loaded_ = false;           // the stored message was asked for, or a newer one came
    bool unstored_ = false;
    std::optional<int64_t> load_failed_ms_; // when it was asked for last, in vain
};

} // namespace rtd
