// Refusals: what the log says of refused connections. A flood of them is a line per reason and
// period, with the addresses it came from, never a line per connection.
#pragma once
#include "core/fence.h"
#include "net/address.h"
#include "net/subnet.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rtd::net {

class Refusals {
  public:
    static constexpr uint64_t kPeriodMs = 10'000;
    static constexpr size_t kMaxNamed = 5;    // addresses in a line; the others are one sum
    static constexpr size_t kMaxReasons = 16; // lines; the others are one line

    // True for the first one of a period: report() is due kPeriodMs later.
    bool count(const std::string &reason, const Address &address);

    // The lines of the period, which is over with that.
    std::vector<std::string> report();

  private:
    struct Burst {
        uint64_t total = 0;
        std::map<Subnet, uint64_t> named; // the first ones
    };
    std::map<std::string, Burst> bursts_; // by reason
};

} // namespace rtd::net
