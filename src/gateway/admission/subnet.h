// Subnet: what limits per address count as one address. An IPv4 host, or the /64 of an IPv6 one:
// a single machine usually has a whole /64 to choose its addresses from.
#pragma once
#include "core/fence.h"
#include "gateway/transport/address.h"

#include <cstdint>
#include <string>
#include <tuple>

namespace rtd::net {

class Subnet {
  public:
    explicit Subnet(const Address &address);
    bool operator<(const Subnet &other) const {
        return std::tie(is_ipv6_, bits_) < std::tie(other.is_ipv6_, other.bits_);
    }

    std::string to_string() const; // "192.0.2.7", "2001:db8::/64"

  private:
    bool is_ipv6_ = false;
    uint64_t bits_ = 0; // the IPv4 address, or the upper half of the IPv6 one, as numbers
};

} // namespace rtd::net
