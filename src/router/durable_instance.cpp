// What an instance of a durable topic does; the rules are in durable_instance.h.
#include "router/durable_instance.h"

#include "core/envelope.h"

#include <algorithm>
#include <utility>

namespace rtd {

namespace {

// Of the messages that are in memory from the beginning. Whoever needs older ones waits for a query
// worker.
constexpr int64_t kMostLoaded = 100;

// Those who wait for what cannot be read are refused after so long.
constexpr int64_t kPatienceMs = 1500;
constexpr int64_t kBusyPatienceMs = 8000; // if all works, and others are served first

} // namespace

// ---- subscribers ----

void DurableInstance::subscribe(const link::Subscribe &request, Now now) {
    join(request.subscription);
    if (is_loaded_)
        return answer(request, now);
    unanswered_.push_back(request);
    int64_t patience_ms = host_.has_query_workers() ? kBusyPatienceMs : kPatienceMs;
    answer_by_ms_ = std::min(answer_by_ms_.value_or(INT64_MAX), now.steady_ms + patience_ms);
}

void DurableInstance::fail_read(Now now) {
    if (!awaits_read())
        answer_by_ms_.reset();
    else
        answer_by_ms_ = std::min(answer_by_ms_.value_or(INT64_MAX), now.steady_ms + kPatienceMs);
}

std::optional<link::Ended> DurableInstance::give_up_waiting(Now now) {
    if (!awaits_read() || !answer_by_ms_ || now.steady_ms < *answer_by_ms_)
        return std::nullopt;
    answer_by_ms_.reset();
    return link::Ended{0, CloseCode::unavailable,
                       "the topic's messages cannot be read now; try again"};
}

std::vector<uint64_t> DurableInstance::waiting_subscriptions() const {
    std::vector<uint64_t> waiting = Instance::waiting_subscriptions();
    for (const link::Subscribe &request : unanswered_)
        waiting.push_back(request.subscription);
    return waiting;
}

std::optional<int64_t> DurableInstance::next_deadline_ms() const {
    return awaits_read() ? answer_by_ms_ : std::nullopt;
}

void DurableInstance::unsubscribe(uint64_t subscription) {
    Instance::unsubscribe(subscription);
    std::erase_if(unanswered_,
                  [=](const auto &request) { return request.subscription == subscription; });
    behind_.erase(subscription);
    if (!awaits_read())
        answer_by_ms_.reset();
}

// The number of the message that this id names, if it is one of this instance and this timeline.
std::optional<uint64_t> DurableInstance::position_of(const std::string &since) const {
    std::optional<MessageId> id = parse_message_id(since);
    if (!id)
        return std::nullopt;
    // "0-0" is of a gap that was told when there was no message yet.
    if (id->epoch == epoch_ || id->epoch + id->sequence == 0)
        return id->sequence;
    auto has_it = [&](const FormerEpoch &former) {
        return former.epoch == id->epoch && id->sequence <= former.newest;
    };
    return std::ranges::any_of(former_, has_it) ? std::optional(id->sequence) : std::nullopt;
}

void DurableInstance::answer(const link::Subscribe &request, Now now) {
    uint64_t subscription = request.subscription;
    bool has_first = topic_->retain && !last_.body.empty();
    if (request.since.empty()) {
        // Those who are behind wait too, and must not get a first message.
        if (has_first && !behind_.empty())
            return admit_with(subscription, last_);
        return admit(subscription, has_first);
    }
    std::optional<uint64_t> since = position_of(request.since);
    if (since && history_.newest() == sequence_ && resume_after(subscription, *since))
        return;
    bool is_known = since && *since <= sequence_ && *since + 1 >= oldest_;
    if (is_known && *since == sequence_)
        return admit(subscription, false, true);
    // Whoever is behind ends with the newest message, so that one must be there.
    if (is_known && !last_.body.empty()) {
        greet(); // those who wait for it alone
        admit(subscription, true, true);
        behind_[subscription] = *since;
        return;
    }
    admit(subscription, false);
    replay(subscription, gap(has_first ? sequence_ - 1 : sequence_, now));
    if (has_first)
        replay(subscription, last_);
}

const Sent *DurableInstance::first_message() {
    return behind_.empty() && !last_.body.empty() ? &last_ : nullptr;
}

// `sequence`: the client has, or must do without, everything up to it.
Sent DurableInstance::gap(uint64_t sequence, Now now) const {
    return compose(sequence, R"({"reason": "more was missed than the server keeps"})", kGapType,
                   "event", "gap", now);
}

// ---- messages ----

void DurableInstance::append(const NumberedMessage &message) {
    if (epoch_ != 0 && epoch_ != message.epoch && message.former_epoch == epoch_)
        former_.push_back({epoch_, sequence_});
    epoch_ = message.epoch;
    sequence_ = message.sequence;
    last_ = {message_id(message.epoch, message.sequence), message.body};
    history_.add({epoch_, sequence_}, last_.body, {history_length(), settings_.history_bytes});
}

void DurableInstance::receive(const NumberedMessage &message, Now) {
    if (!is_loaded_ || (message.epoch == epoch_ && message.sequence <= sequence_))
        return; // it will be read, or was
    bool follows = message.sequence == sequence_ + 1 &&
                   (message.epoch == epoch_ || epoch_ == 0 || message.former_epoch == epoch_);
    if (!follows)
        return doubt();
    greet(); // those who came before it get it as a later message
    append(message);
    if (host_.logs_events())
        deliver(last_, json_member(last_.body, "type"), json_member(last_.body, "data"));
    else
        deliver(last_, {}, {});
}

// ---- reading ----

ReadJob DurableInstance::next_read() const {
    ReadJob job{id_, topic_->name, params(), std::nullopt, 0};
    if (!is_loaded_) {
        job.most = static_cast<uint32_t>(std::clamp<int64_t>(topic_->history, 1, kMostLoaded));
    } else if (is_doubtful_) {
        job.after = sequence_;
    } else {
        auto lowest = [](const auto &a, const auto &b) { return a.second < b.second; };
        job.after = std::ranges::min_element(behind_, lowest)->second;
    }
    return job;
}

void DurableInstance::finish_read(const ReadOutcome &outcome, Now now) {
    answer_by_ms_.reset();
    if (!is_loaded_)
        return load(outcome, now);
    if (!outcome.after)
        return; // of an instance of that number that began anew
    if (!goes_on(outcome))
        return begin_anew(outcome, now);
    oldest_ = outcome.oldest;
    if (*outcome.after == sequence_)
        catch_up(outcome, now);
    else
        hand_out(outcome, *outcome.after, now);
}

// The numbers are those that the instance knows, or follow them in a later epoch.
bool DurableInstance::goes_on(const ReadOutcome &outcome) const {
    auto is_mine = [&](const FormerEpoch &former) { return former.epoch == epoch_; };
    return epoch_ == 0 || outcome.epoch == epoch_ || std::ranges::any_of(outcome.former, is_mine);
}

void DurableInstance::load(const ReadOutcome &outcome, Now now) {
    is_loaded_ = true;
    is_doubtful_ = false;
    epoch_ = 0;
    for (const NumberedMessage &message : outcome.messages)
        append(message);
    epoch_ = outcome.epoch;
    former_ = outcome.former;
    if (sequence_ != outcome.newest)
        last_ = {};
    sequence_ = outcome.newest;
    oldest_ = outcome.oldest;
    for (const link::Subscribe &request : std::exchange(unanswered_, {}))
        answer(request, now);
}

// The numbers of the instance were taken away under it.
void DurableInstance::begin_anew(const ReadOutcome &outcome, Now now) {
    last_ = {};
    history_ = {};
    sequence_ = 0;
    load(outcome, now);
    tell_live(gap(sequence_, now));
    for (const auto &[subscription, position] : std::exchange(behind_, {}))
        replay(subscription, gap(sequence_, now));
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
    if (is_doubtful_)
        return;
    epoch_ = outcome.epoch;
    former_ = outcome.former;
}

// The messages up to there expired before they were sent.
void DurableInstance::skip_to(uint64_t sequence, Now now) {
    sequence_ = sequence;
    last_ = {};
    tell_live(gap(sequence_, now));
}

// To those who are behind, but have everything up to `after`. The last message makes all who caught
// up live; see link.h.
void DurableInstance::hand_out(const ReadOutcome &outcome, uint64_t after, Now now) {
    for (auto &entry : behind_) {
        uint64_t subscription = entry.first;
        uint64_t &position = entry.second;
        if (position < after)
            continue; // came while this was read
        auto advance_to = [&](uint64_t number) {
            if (position + 1 < number) // expired meanwhile
                replay(subscription, gap(number - 1, now));
            position = std::max(position, number - 1);
        };
        for (const NumberedMessage &message : outcome.messages) {
            if (message.sequence <= position || message.sequence >= sequence_)
                continue;
            advance_to(message.sequence);
            replay(subscription, {message_id(message.epoch, message.sequence), message.body});
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

} // namespace rtd
