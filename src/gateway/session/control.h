// Control messages that the gateway makes itself: about a client's requests and subscriptions, see
// docs/PROTOCOL.md. They have the envelope of every message, without an id.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/request_path.h"

#include <string>
#include <string_view>

namespace rtd::net {

// `data` is a JSON object, as JsonFields makes it. `topic` is nullptr for what is of no topic.
std::string control_message(std::string_view type, const TopicPath *topic, std::string_view data);

// The data of a control message: members in the order they are added.
class JsonFields {
  public:
    // `json` is the text of a value; an empty one is left out.
    JsonFields &add(std::string_view name, std::string_view json);
    JsonFields &add_text(std::string_view name, std::string_view text);
    JsonFields &add_reason(CloseCode code, std::string_view message);
    std::string text() const { return "{" + members_ + "}"; }

  private:
    std::string members_;
};

} // namespace rtd::net
