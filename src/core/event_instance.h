// EventInstance: an instance of a topic without a query. Every event is a message as it is. If the
// topic retains, the newest message is what a new subscriber gets first; the hub has it stored.
#pragma once
#include "core/fence.h"
#include "core/instance.h"

namespace rtd {

class EventInstance final : public Instance {
  public:
    using Instance::Instance;

    void subscribe(const link::Subscribe &request, Now now) override;
    void handle(const Event &event, Now now) override;
    void handle_loss(const std::string &reason, Now now) override;
    void redefine(std::shared_ptr<const Topic> topic, Now now) override;
    std::optional<RetainedMessage> unstored_message() const override;
    bool is_unstored() const override { return unstored_; }
    void mark_stored(uint64_t sequence) override;

  protected:
    const Sent *first_message() override { return retained_.body.empty() ? nullptr : &retained_; }

  private:
    void load_retained();
    void tell_gap(const std::string &payload, Now now);

    Sent retained_;       // newest message, if the topic retains
    bool loaded_ = false; // the stored one was asked for, or a newer one came
    bool unstored_ = false;
};

} // namespace rtd
