#include "gateway/admission/refusals.h"

#include "core/log_text.h"

#include <algorithm>
#include <functional>

namespace rtd::net {

namespace {

const char *name_of(Refusals::Thing thing) {
    switch (thing) {
    case Refusals::Thing::connection:
        return "connection";
    case Refusals::Thing::subscription:
        return "subscription";
    case Refusals::Thing::message:
        return "message";
    }
    return "";
}

} // namespace

bool Refusals::count(const std::string &reason, const Address &address) {
    Key key{Thing::connection, reason};
    if (!bursts_.contains(key)) {
        if (free_reasons_ < kMaxReasons)
            free_reasons_++;
        else
            key.second = "other reasons";
    }
    return add(key, Subnet(address), "");
}

bool Refusals::count(Thing thing, std::string_view word, std::string_view sentence,
                     const Subnet &from) {
    return add({thing, std::string(word)}, from, sentence);
}

bool Refusals::add(const Key &key, const Subnet &from, std::string_view sentence) {
    bool is_first = bursts_.empty();
    Burst &burst = bursts_[key];
    if (burst.total++ == 0)
        burst.sentence = printable(sentence, kMaxSentenceBytes);
    auto found = burst.named.find(from);
    if (found != burst.named.end())
        found->second++;
    else if (burst.named.size() < kMaxNamed)
        burst.named.emplace(from, 1);
    return is_first;
}

std::string Refusals::line_of(const Key &key, const Burst &burst) {
    std::string line = "refused " + std::to_string(burst.total) + " " + name_of(key.first) +
                       (burst.total == 1 ? "" : "s") + " within " +
                       std::to_string(kPeriodMs / 1000) + " s because of " + key.second + ":";
    std::vector<std::pair<uint64_t, Subnet>> largest;
    for (const auto &[subnet, number] : burst.named)
        largest.emplace_back(number, subnet);
    std::sort(largest.begin(), largest.end(), std::greater<>());
    uint64_t others = burst.total;
    for (const auto &[number, subnet] : largest) {
        line += " " + std::to_string(number) + " from " + subnet.to_string() + ",";
        others -= number;
    }
    if (others > 0)
        line += " " + std::to_string(others) + " from others,";
    line.pop_back();
    if (!burst.sentence.empty())
        line += burst.total == 1 ? ": " + burst.sentence : "; the first: " + burst.sentence;
    return line;
}

std::vector<std::string> Refusals::report() {
    std::vector<std::string> lines;
    free_reasons_ = 0;
    for (const auto &[key, burst] : std::exchange(bursts_, {}))
        lines.push_back(line_of(key, burst));
    return lines;
}

} // namespace rtd::net
