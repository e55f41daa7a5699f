#include "gateway/admission/subnet.h"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>

namespace rtd::net {

namespace {

uint64_t number(const uint8_t *bytes, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

} // namespace

Subnet::Subnet(const Address &address) {
    if (address.storage.ss_family != AF_INET6) {
        bits_ = ntohl(reinterpret_cast<const sockaddr_in &>(address.storage).sin_addr.s_addr);
        return;
    }
    const in6_addr &host = reinterpret_cast<const sockaddr_in6 &>(address.storage).sin6_addr;
    // An IPv4 client on a socket of both families: they would all share one /64.
    is_ipv6_ = !IN6_IS_ADDR_V4MAPPED(&host);
    bits_ = is_ipv6_ ? number(host.s6_addr, 8) : number(host.s6_addr + 12, 4);
}

std::string Subnet::to_string() const {
    char text[INET6_ADDRSTRLEN] = "";
    if (!is_ipv6_) {
        in_addr host{htonl(static_cast<uint32_t>(bits_))};
        inet_ntop(AF_INET, &host, text, sizeof text);
        return text;
    }
    in6_addr prefix{};
    for (int i = 0; i < 8; i++)
        prefix.s6_addr[i] = static_cast<uint8_t>(bits_ >> (56 - 8 * i));
    inet_ntop(AF_INET6, &prefix, text, sizeof text);
    return std::string(text) + "/64";
}

} // namespace rtd::net
