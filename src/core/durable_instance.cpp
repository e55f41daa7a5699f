// What an instance of a durable topic does; the rules are in durable_instance.h.
#include "core/durable_instance.h"

#include "core/envelope.h"

#include <algorithm>
#include <charconv>

namespace rtd {

namespace {

constexpr size_t kMaxRecentBytes = 1 << 20;

struct MessageId {
    uint64_t epoch = 0;
    uint64_t sequence = 0;
};

std::optional<MessageId> parse_id(std::string_view text) {
    MessageId id;
    const char *end = text.data() + text.size();
    auto epoch = std::from_chars(text.data(), end, id.epoch);
    if (epoch.ec != std::errc() || epoch.ptr == end || *epoch.ptr != '-')
        return std::nullopt;
    auto sequence = std::from_chars(epoch.ptr + 1, end, id.sequence);
    if (sequence.ec != std::errc() || sequence.ptr != end)
        return std::nullopt;
    return id;
}

} // namespace

// ---- subscribers ----

void DurableInstance::subscribe(const link::Subscribe &request, Now now) {
    join(request.subscription);
    if (is_loaded_)
        answer(request.subscription, request.since, now);
    else
        unanswered_[request.subscription] = request.since;
}

void DurableInstance::unsubscribe(uint64_t subscription) {
    Instance::unsubscribe(subscription);
    unanswered_.erase(subscription);
    behind_.erase(subscription);
}

void DurableInstance::answer(uint64_t subscription, const std::string &since, Now now) {
    if (since.empty()) {
        bool has_first = topic_->retain && !recent_.empty();
        // Those who are behind wait too, and must not get a first message.
        admit(subscription, has_first && behind_.empty(), false);
        if (has_first && !behind_.empty())
            replay(subscription, sequence_ - 1);
        return;
    }
    std::optional<MessageId> id = parse_id(since);
    // What was told "0-0" was told that there is a gap, at a time when there was no message.
    bool knows_id = id && (id->epoch == epoch_ || (id->epoch == 0 && id->sequence == 0)) &&
                    id->sequence <= sequence_ && id->sequence + 1 >= oldest_;
    // Whoever is behind ends with the newest message, so that one must be there.
    knows_id = knows_id && (id->sequence == sequence_ || !recent_.empty());
    if (!knows_id) {
        admit(subscription, false, false);
        return tell_gap(subscription, sequence_, now);
    }
    if (id->sequence + 1 >= first_recent()) {
        admit(subscription, false, true);
        return replay(subscription, id->sequence);
    }
    greet(); // those who wait for the newest message, because that is not for the one who comes
    admit(subscription, true, true);
    behind_[subscription] = id->sequence;
}

const Sent *DurableInstance::first_message() {
    return behind_.empty() && !recent_.empty() ? &recent_.back() : nullptr;
}

void DurableInstance::replay(uint64_t subscription, uint64_t after) {
    for (uint64_t number = after + 1; number <= sequence_; number++) {
        const Sent &message = recent_[number - first_recent()];
        host_.send(link::Replayed{subscription, message.body, message.id});
    }
}

// `sequence`: the client has, or must do without, everything up to it.
Sent DurableInstance::gap(uint64_t sequence, Now now) const {
    Sent message{message_id(epoch_, sequence), {}};
    message.body = to_json({.type = "rtd_gap",
                            .data = R"({"reason": "the messages since then are not kept"})",
                            .timestamp_us = now.wall_us,
                            .source = "event",
                            .topic = topic_->name,
                            .params = &params_,
                            .id = message.id,
                            .kind = "gap"});
    return message;
}

void DurableInstance::tell_gap(uint64_t subscription, uint64_t sequence, Now now) {
    Sent message = gap(sequence, now);
    host_.send(link::Replayed{subscription, message.body, message.id});
}

// ---- messages ----

void DurableInstance::append(const NumberedMessage &message) {
    epoch_ = message.epoch;
    sequence_ = message.sequence;
    recent_.push_back({message_id(message.epoch, message.sequence), message.body});
    recent_bytes_ += message.body.size();
    auto most = static_cast<size_t>(std::max<int64_t>(topic_->history, 1));
    while (recent_.size() > 1 && (recent_.size() > most || recent_bytes_ > kMaxRecentBytes)) {
        recent_bytes_ -= recent_.front().body.size();
        recent_.pop_front();
    }
}

void DurableInstance::receive(const NumberedMessage &message, Now) {
    if (!is_loaded_ || (message.epoch == epoch_ && message.sequence <= sequence_))
        return; // it will be read, or was
    bool follows = message.sequence == sequence_ + 1 && (message.epoch == epoch_ || epoch_ == 0);
    if (!follows)
        return doubt();
    append(message);
    const Sent &sent = recent_.back();
    if (host_.logs_events())
        deliver(sent, json_member(sent.body, "type"), json_member(sent.body, "data"));
    else
        deliver(sent, {}, {});
}

// ---- reading ----

ReadJob DurableInstance::next_read() const {
    ReadJob job{id_, topic_->name, params_, std::nullopt, 0};
    if (!is_loaded_) {
        job.most = static_cast<uint32_t>(std::max<int64_t>(topic_->history, 1));
    } else if (is_doubtful_) {
        job.after = sequence_;
    } else {
        auto lowest = [](const auto &a, const auto &b) { return a.second < b.second; };
        job.after = std::ranges::min_element(behind_, lowest)->second;
    }
    return job;
}

void DurableInstance::finish_read(const ReadOutcome &outcome, Now now) {
    if (!is_loaded_)
        return load(outcome, now);
    if (epoch_ != 0 && outcome.epoch != epoch_)
        return begin_anew(outcome, now);
    oldest_ = outcome.oldest;
    uint64_t after = outcome.after.value_or(0);
    if (after == sequence_)
        catch_up(outcome, now);
    else
        hand_out(outcome, after, now);
}

void DurableInstance::load(const ReadOutcome &outcome, Now now) {
    is_loaded_ = true;
    is_doubtful_ = false;
    epoch_ = outcome.epoch;
    for (const NumberedMessage &message : outcome.messages) {
        if (message.sequence != sequence_ + 1)
            forget_recent();
        append(message);
    }
    if (sequence_ != outcome.newest)
        forget_recent();
    sequence_ = outcome.newest;
    oldest_ = outcome.oldest;
    for (const auto &[subscription, since] : std::exchange(unanswered_, {}))
        answer(subscription, since, now);
}

// The numbers of the instance were taken away under it.
void DurableInstance::begin_anew(const ReadOutcome &outcome, Now now) {
    forget_recent();
    sequence_ = 0;
    load(outcome, now);
    if (has_live()) {
        Sent message = gap(sequence_, now);
        host_.send(link::Message{id_, link::Audience::live, message.body, message.id});
    }
    for (const auto &[subscription, position] : std::exchange(behind_, {}))
        tell_gap(subscription, sequence_, now);
    greet();
}

// What was numbered without a word to this hub.
void DurableInstance::catch_up(const ReadOutcome &outcome, Now now) {
    is_doubtful_ = false;
    for (const NumberedMessage &message : outcome.messages) {
        if (message.sequence > sequence_ + 1)
            skip_to(message.sequence - 1, now);
        receive(message, now);
    }
    if (outcome.messages.empty() && outcome.newest > sequence_)
        skip_to(outcome.newest, now);
    is_doubtful_ = outcome.newest > sequence_;
}

// The messages up to there expired before they were sent.
void DurableInstance::skip_to(uint64_t sequence, Now now) {
    sequence_ = sequence;
    forget_recent();
    if (!has_live())
        return;
    Sent message = gap(sequence_, now);
    host_.send(link::Message{id_, link::Audience::live, message.body, message.id});
}

// To those who are behind, but have everything up to `after`. The last message makes all who caught
// up live; see link.h.
void DurableInstance::hand_out(const ReadOutcome &outcome, uint64_t after, Now now) {
    for (auto &[subscription, position] : behind_) {
        if (position < after)
            continue; // came while this was read
        auto advance_to = [&](uint64_t number) {
            if (position + 1 < number) // expired meanwhile
                tell_gap(subscription, number - 1, now);
            position = std::max(position, number - 1);
        };
        for (const NumberedMessage &message : outcome.messages) {
            if (message.sequence <= position || message.sequence >= sequence_)
                continue;
            advance_to(message.sequence);
            host_.send(link::Replayed{subscription, message.body,
                                      message_id(message.epoch, message.sequence)});
            position = message.sequence;
        }
        if (outcome.messages.empty() || outcome.messages.back().sequence >= sequence_)
            advance_to(sequence_);
    }
    bool caught_up = std::ranges::all_of(
        behind_, [&](const auto &entry) { return entry.second + 1 >= sequence_; });
    if (!caught_up)
        return;
    behind_.clear();
    greet();
}

void DurableInstance::forget_recent() {
    recent_.clear();
    recent_bytes_ = 0;
}

} // namespace rtd
