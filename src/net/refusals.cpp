#include "net/refusals.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace rtd::net {

bool Refusals::count(const std::string &reason, const Address &address) {
    bool is_first = bursts_.empty();
    bool is_named = bursts_.contains(reason) || bursts_.size() < kMaxReasons;
    Burst &burst = bursts_[is_named ? reason : "other reasons"];
    burst.total++;
    Subnet subnet(address);
    auto found = burst.named.find(subnet);
    if (found != burst.named.end())
        found->second++;
    else if (burst.named.size() < kMaxNamed)
        burst.named.emplace(subnet, 1);
    return is_first;
}

std::vector<std::string> Refusals::report() {
    std::vector<std::string> lines;
    for (const auto &[reason, burst] : std::exchange(bursts_, {})) {
        std::string line = "refused " + std::to_string(burst.total) +
                           (burst.total == 1 ? " connection" : " connections") + " within " +
                           std::to_string(kPeriodMs / 1000) + " s because of " + reason + ":";
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
        lines.push_back(std::move(line));
    }
    return lines;
}

} // namespace rtd::net
