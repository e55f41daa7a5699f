// RepeatedEvent: the events of a topic without parameters, of which only the payload differs. What
// surrounds it is encoded once, because a writer makes one for every row.
#pragma once
#include "core/fence.h"
#include "router/held_events.h"

#include <string>
#include <string_view>

namespace rtd {

class RepeatedEvent {
  public:
    RepeatedEvent() = default;
    explicit RepeatedEvent(Event event);

    // Equal to prepare(event) with this payload. Good until the next call.
    const PreparedEvent &with(std::string_view payload);

  private:
    PreparedEvent prepared_;
    size_t before_ = 0; // bytes before the payload
    std::string after_; // and those after it
};

} // namespace rtd
