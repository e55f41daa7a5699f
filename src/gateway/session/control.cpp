#include "gateway/session/control.h"

#include "core/envelope.h"
#include "core/json_text.h"

#include <chrono>

namespace rtd::net {

std::string control_message(std::string_view type, const TopicPath *topic, std::string_view data) {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return to_json(
        {.type = type,
         .data = data,
         .timestamp_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count(),
         .source = "event",
         .topic = topic ? std::string_view(topic->topic) : std::string_view(),
         .params = topic ? &topic->params : nullptr,
         .kind = "control"});
}

JsonFields &JsonFields::add(std::string_view name, std::string_view json) {
    if (json.empty())
        return *this;
    if (!members_.empty())
        members_ += ',';
    members_.append(json_quote(name)).append(":").append(json);
    return *this;
}

JsonFields &JsonFields::add_text(std::string_view name, std::string_view text) {
    return add(name, json_quote(text));
}

JsonFields &JsonFields::add_reason(CloseCode code, std::string_view message) {
    return add("code", std::to_string(static_cast<uint16_t>(code))).add_text("message", message);
}

} // namespace rtd::net
