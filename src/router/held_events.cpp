// What a transaction holds back; the rules are in held_events.h.
#include "router/held_events.h"

#include <algorithm>

namespace rtd {

namespace {

// What a large transaction leaves behind is given back.
constexpr size_t kKeptBytes = 1 << 14;
constexpr size_t kKeptEvents = 256;
// So few topics are looked through faster than a hash is made.
constexpr size_t kFewTopics = 16;

} // namespace

PreparedEvent prepare(const Event &event) {
    auto known = std::ranges::count_if(event.params, [](const auto &p) { return p.has_value(); });
    return {.interest_key = interest_key(event),
            .topic_key = topic_key(event.topic),
            .covers_interest = known == 0 || known == std::ssize(event.params),
            .says_lost = event.kind == EventKind::lost,
            .bytes = encode(event)};
}

// ---- additions ----

HeldEvents::Mark &HeldEvents::mark(int level) {
    if (marks_.empty() || marks_.back().level < level)
        marks_.push_back({level, events_.size(), key_stack_.size(), collapsed_.size()});
    return marks_.back();
}

void HeldEvents::add(int level, const PreparedEvent &event, Delivery delivery) {
    mark(level);
    Tally &tally = tally_of(event.topic_key);
    size_t offset = bytes_.size();
    bytes_ += event.bytes;
    events_.push_back({.delivery = delivery,
                       .may_be_known = delivery == Delivery::state_change && event.covers_interest,
                       .says_lost = event.says_lost,
                       .interest_key = event.interest_key,
                       .topic_key = event.topic_key,
                       .offset = offset,
                       .size = event.bytes.size()});
    tally.events++;
    tally.bytes += event.bytes.size();
}

void HeldEvents::add_generation(int level, bool is_definition) {
    mark(level);
    events_.push_back({.offset = bytes_.size(), .is_definition = is_definition});
}

bool HeldEvents::add_key(int level, uint64_t key) {
    mark(level);
    key_stack_.push_back(key); // first: what fails after it is undone with it
    if (keys_.insert(key).second)
        return true;
    key_stack_.pop_back();
    return false;
}

void HeldEvents::collapse(int level, uint64_t topic_key) {
    size_t first = mark(level).events;
    size_t kept = first;
    size_t kept_bytes = first < events_.size() ? events_[first].offset : bytes_.size();
    for (size_t i = first; i < events_.size(); i++) {
        HeldEvent event = events_[i];
        steps_++;
        if (event.topic_key == topic_key && event.size > 0) {
            untally(event);
            continue;
        }
        if (kept_bytes < event.offset)
            std::copy_n(bytes_.data() + event.offset, event.size, bytes_.data() + kept_bytes);
        event.offset = kept_bytes;
        kept_bytes += event.size;
        events_[kept++] = event;
    }
    events_.resize(kept);
    bytes_.resize(kept_bytes);
    Tally &tally = tally_of(topic_key);
    if (!tally.is_collapsed)
        collapsed_.push_back(topic_key);
    tally.is_collapsed = true;
}

// ---- savepoints ----

void HeldEvents::release(int level) {
    if (marks_.empty() || marks_.back().level < level)
        return;
    steps_++;
    if (marks_.size() > 1 && marks_[marks_.size() - 2].level == level - 1)
        marks_.pop_back();
    else
        marks_.back().level = level - 1;
}

void HeldEvents::roll_back(int level) {
    while (!marks_.empty() && marks_.back().level >= level) {
        Mark since = marks_.back();
        steps_ += 1 + events_.size() - since.events + key_stack_.size() - since.keys;
        if (events_.size() > since.events)
            bytes_.resize(events_[since.events].offset);
        for (; events_.size() > since.events; events_.pop_back())
            untally(events_.back());
        for (; key_stack_.size() > since.keys; key_stack_.pop_back())
            keys_.erase(key_stack_.back());
        for (; collapsed_.size() > since.collapsed; collapsed_.pop_back())
            tally_of(collapsed_.back()).is_collapsed = false;
        marks_.pop_back();
    }
}

void HeldEvents::clear() {
    if (bytes_.capacity() > kKeptBytes || events_.capacity() > kKeptEvents ||
        key_stack_.capacity() > kKeptEvents || tallies_.capacity() > kKeptEvents) {
        *this = HeldEvents{};
        return;
    }
    marks_.clear();
    events_.clear();
    bytes_.clear();
    if (!keys_.empty())
        keys_.clear();
    key_stack_.clear();
    collapsed_.clear();
    tallies_.clear();
    if (!tally_index_.empty())
        tally_index_.clear();
}

// ---- topics ----

const HeldEvents::Tally *HeldEvents::find_tally(uint64_t topic_key) const {
    if (tallies_.size() > kFewTopics) {
        auto known = tally_index_.find(topic_key);
        return known != tally_index_.end() ? &tallies_[known->second] : nullptr;
    }
    for (auto tally = tallies_.rbegin(); tally != tallies_.rend(); ++tally)
        if (tally->topic_key == topic_key)
            return &*tally;
    return nullptr;
}

HeldEvents::Tally &HeldEvents::tally_of(uint64_t topic_key) {
    if (const Tally *known = find_tally(topic_key))
        return tallies_[static_cast<size_t>(known - tallies_.data())];
    tallies_.push_back({.topic_key = topic_key});
    if (tallies_.size() > kFewTopics)
        for (size_t i = tally_index_.size(); i < tallies_.size(); i++)
            tally_index_[tallies_[i].topic_key] = i;
    return tallies_.back();
}

void HeldEvents::untally(const HeldEvent &event) {
    if (event.size == 0)
        return;
    Tally &tally = tally_of(event.topic_key);
    tally.events--;
    tally.bytes -= event.size;
}

} // namespace rtd
