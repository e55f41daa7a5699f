#include "net/refusals.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace rtd::net {

namespace {

std::string reason(Refusal refusal) {
    switch (refusal) {
    case Refusal::max_clients:
        return "rtd.max_clients";
    case Refusal::max_clients_per_address:
        return "rtd.max_clients_per_address";
    case Refusal::connection_rate:
        return "rtd.connection_rate";
    case Refusal::under_way:
        return std::to_string(Admission::kMaxUnderWay) + " requests under way";
    }
    return "";
}

} // namespace

bool Refusals::count(Refusal refusal, const Address &address) {
    bool is_first = bursts_.empty();
    Burst &burst = bursts_[refusal];
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
    for (const auto &[refusal, burst] : std::exchange(bursts_, {})) {
        std::string line = "refused " + std::to_string(burst.total) +
                           (burst.total == 1 ? " connection" : " connections") + " within " +
                           std::to_string(kPeriodMs / 1000) + " s because of " + reason(refusal) +
                           ":";
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
