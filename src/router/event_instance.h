// EventInstance: an instance of a topic without a query. Every event is a message as it is, and
// lost events are a gap message.
//
// What a new subscriber gets, if the topic retains: the newest event's message, which the hub has
// stored, and then the gap, if events were lost after it. One that resumes from a message that the
// history no longer reaches gets a gap message of its own first; its id is the one before what
// comes next, so that the client can resume from there.
//
// The stored message is read by a query worker. Until it is here, or a newer event is, those who
// subscribe are not answered. If it cannot be read, or not soon, they are refused: to them it would
// seem that there is none.
#pragma once
#include "core/fence.h"
#include "router/instance.h"

#include <vector>

namespace rtd {

class EventInstance final : public Instance {
  public:
    explicit EventInstance(InstanceSetup setup)
        : Instance(setup), last_loss_(std::move(setup.last_loss)) {}

    void subscribe(const link::Subscribe &request, Now now) override;
    void unsubscribe(uint64_t subscription) override;
    std::optional<link::Ended> give_up_waiting(Now now) override;
    std::vector<uint64_t> waiting_subscriptions() const override;
    std::optional<int64_t> next_deadline_ms() const override;
    void handle(const Event &event, Now now) override;
    void handle_loss(const Loss &loss, Now now) override;
    bool is_worth_keeping() const override { return topic_->history > 0; }
    size_t kept_bytes() const override { return history_.bytes() + retained_.body.size(); }
    void redefine(std::shared_ptr<const Topic> topic, Now now) override;
    std::optional<RetainedMessage> unstored_message() const override;
    bool is_unstored() const override { return unstored_; }
    void mark_stored(uint64_t sequence) override;
    bool wants_retained() const override { return load_ == Load::wanted; }
    RetainedRead start_retained_read() override;
    void finish_retained_read(const RetainedAnswer &answer, Now now) override;

  protected:
    const Sent *first_message() override { return retained_.body.empty() ? nullptr : &retained_; }

  private:
    // Of the stored message. done: it is here, or a newer one is.
    enum class Load : uint8_t { none, wanted, reading, done };

    bool must_load() const;
    void load(const std::string &stored, Now now);
    void answer(const link::Subscribe &request, Now now);
    void answer_all(Now now);
    void tell_gap(const std::string &payload, Now now);
    Sent resume_gap(const std::string &since, Now now) const;

    // Both only if the topic retains.
    Sent retained_; // of the newest event
    Sent gap_;      // newest, if it is newer than that event
    uint64_t retained_sequence_ = 0;
    uint64_t gap_sequence_ = 0;
    std::optional<Loss> last_loss_; // before the instance was made
    Load load_ = Load::none;
    bool has_place_ = false; // number 1 is kept free for the stored message
    bool unstored_ = false;
    std::optional<int64_t> load_failed_ms_;   // when it was asked for last, in vain
    std::optional<int64_t> answer_by_ms_;     // then those who wait for it are refused
    std::vector<link::Subscribe> unanswered_; // until it is here
};

} // namespace rtd
