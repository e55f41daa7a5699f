#include "gateway/websocket/client_message.h"

#include "core/envelope.h"
#include "core/names.h"
#include "core/utf8.h"
#include "gateway/websocket/json_object.h"

#include <algorithm>

namespace rtd {

namespace {

using Action = ClientMessage::Action;
using Members = std::vector<JsonMember>;

constexpr size_t kMaxRefBytes = 256;

struct Shape {
    std::string_view name;
    Action action;
    std::vector<std::string_view> members; // besides `action` and `ref`
};

const Shape *shape_of(std::string_view action) {
    static const Shape kShapes[] = {
        {"subscribe", Action::subscribe, {"topic", "params", "since"}},
        {"unsubscribe", Action::unsubscribe, {"topic", "params"}},
        {"publish", Action::publish, {"topic", "params", "data", "type"}},
        {"ping", Action::ping, {}},
    };
    for (const Shape &shape : kShapes)
        if (shape.name == action)
            return &shape;
    return nullptr;
}

const JsonMember *find(const Members &members, std::string_view name) {
    auto found = std::ranges::find(members, name, &JsonMember::name);
    return found != members.end() ? &*found : nullptr;
}

std::string quoted(std::string_view name) {
    return "\"" + std::string(name) + "\"";
}

// What the client called it, as far as a sentence has room for it.
std::string shortened(std::string_view name) {
    constexpr size_t kShownBytes = 40;
    return std::string(truncate_utf8(name, kShownBytes));
}

// The sentence that says what is wrong, empty if nothing is.
std::string check_members(const Members &members, const Shape &shape) {
    for (size_t i = 0; i < members.size(); i++) {
        const std::string &name = members[i].name;
        bool known = name == "action" || name == "ref" ||
                     std::ranges::find(shape.members, name) != shape.members.end();
        if (!known)
            return quoted(shape.name) + " takes no member \"" + shortened(name) + "\"";
        if (find(members, name) != &members[i])
            return "the member " + quoted(name) + " is there twice";
    }
    return "";
}

// A member that is a string: into `value`, which stays as it is if the member is not there.
std::string take_string(const Members &members, std::string_view name, std::string &value) {
    const JsonMember *member = find(members, name);
    if (!member)
        return "";
    std::optional<std::string> text = json_string(member->value);
    if (!text)
        return quoted(name) + " must be a string";
    value = std::move(*text);
    return "";
}

std::string take_params(const Members &members, std::vector<std::string> &params) {
    const JsonMember *member = find(members, "params");
    if (!member)
        return "";
    std::optional<std::vector<std::string_view>> elements = split_json_array(member->value);
    if (!elements)
        return "\"params\" must be an array of strings";
    for (std::string_view element : *elements) {
        std::optional<std::string> param = json_string(element);
        if (!param)
            return "\"params\" must be an array of strings";
        params.push_back(std::move(*param));
    }
    return "";
}

std::string take_topic(const Members &members, TopicPath &topic) {
    if (!find(members, "topic"))
        return "the member \"topic\" is missing";
    std::string problem = take_string(members, "topic", topic.topic);
    if (problem.empty())
        problem = take_params(members, topic.params);
    if (!problem.empty())
        return problem;
    Result<TopicPath> checked = check_topic_path(std::move(topic));
    if (!checked)
        return checked.error();
    topic = std::move(*checked);
    return "";
}

std::string take_since(const Members &members, std::string &since) {
    std::string problem = take_string(members, "since", since);
    if (problem.empty() && !since.empty() && !parse_message_id(since))
        problem = std::string(kBadSince);
    return problem;
}

std::string take_data(const Members &members, std::string &data) {
    const JsonMember *member = find(members, "data");
    if (!member)
        return "the member \"data\" is missing";
    data = member->value;
    return "";
}

std::string take_all(const Members &members, ClientMessage &message) {
    std::string problem;
    if (message.action == Action::ping)
        return problem;
    problem = take_topic(members, message.topic);
    if (problem.empty() && message.action == Action::subscribe)
        problem = take_since(members, message.since);
    if (problem.empty() && message.action == Action::publish)
        problem = take_data(members, message.data);
    if (problem.empty() && message.action == Action::publish)
        problem = take_string(members, "type", message.type);
    return problem;
}

Result<ClientMessage> interpret(const Members &members) {
    std::string action;
    if (!find(members, "action"))
        return Problem{"the member \"action\" is missing"};
    std::string problem = take_string(members, "action", action);
    const Shape *shape = shape_of(action);
    if (!problem.empty() || !shape)
        return Problem{
            "\"action\" must be \"subscribe\", \"unsubscribe\", \"publish\" or \"ping\""};
    ClientMessage message;
    message.action = shape->action;
    problem = check_members(members, *shape);
    if (problem.empty())
        problem = take_all(members, message);
    if (!problem.empty())
        return Problem{problem};
    return message;
}

} // namespace

bool is_client_ref(std::string_view value) {
    return (is_json_string(value) || is_json_integer(value)) && value.size() <= kMaxRefBytes;
}

ParsedClientMessage parse_client_message(std::string_view text) {
    Result<Members> members = split_json_object(text);
    if (!members)
        return {"", Problem{members.error()}};
    const JsonMember *ref = find(*members, "ref");
    if (!ref)
        return {"", interpret(*members)};
    if (!is_json_string(ref->value) && !is_json_integer(ref->value))
        return {"", Problem{"\"ref\" must be a string or an integer"}};
    if (ref->value.size() > kMaxRefBytes)
        return {"", Problem{"\"ref\" is longer than " + std::to_string(kMaxRefBytes) + " bytes"}};
    return {std::string(ref->value), interpret(*members)};
}

} // namespace rtd
