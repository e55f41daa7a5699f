#include "gateway/transport/address.h"

#include "core/setting_list.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>

namespace rtd::net {

namespace {

const sockaddr_in &ipv4(const Address &address) {
    return reinterpret_cast<const sockaddr_in &>(address.storage);
}
const sockaddr_in6 &ipv6(const Address &address) {
    return reinterpret_cast<const sockaddr_in6 &>(address.storage);
}

} // namespace

uint16_t Address::port() const {
    if (storage.ss_family == AF_INET6)
        return ntohs(ipv6(*this).sin6_port);
    return ntohs(ipv4(*this).sin_port);
}

void Address::set_port(uint16_t port) {
    if (storage.ss_family == AF_INET6)
        reinterpret_cast<sockaddr_in6 &>(storage).sin6_port = htons(port);
    else
        reinterpret_cast<sockaddr_in &>(storage).sin_port = htons(port);
}

bool Address::operator==(const Address &other) const {
    if (storage.ss_family != other.storage.ss_family || port() != other.port())
        return false;
    if (storage.ss_family == AF_INET6)
        return ipv6(*this).sin6_scope_id == ipv6(other).sin6_scope_id &&
               std::memcmp(&ipv6(*this).sin6_addr, &ipv6(other).sin6_addr, sizeof(in6_addr)) == 0;
    return ipv4(*this).sin_addr.s_addr == ipv4(other).sin_addr.s_addr;
}

std::string to_string(const Address &address) {
    char host[INET6_ADDRSTRLEN] = "";
    std::string port = std::to_string(address.port());
    if (address.storage.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &ipv6(address).sin6_addr, host, sizeof host);
        return "[" + std::string(host) + "]:" + port;
    }
    inet_ntop(AF_INET, &ipv4(address).sin_addr, host, sizeof host);
    return std::string(host) + ":" + port;
}

Address local_address(int fd) {
    Address address;
    address.size = sizeof address.storage;
    getsockname(fd, reinterpret_cast<sockaddr *>(&address.storage), &address.size);
    return address;
}

std::variant<std::vector<Address>, ResolveFailure> resolve(std::string_view list, uint16_t port) {
    std::vector<Address> addresses;
    for (const std::string &element : split_list(list)) {
        addrinfo hints{};
        hints.ai_family = AF_UNSPEC;
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_PASSIVE;
        addrinfo *found = nullptr;
        int error = getaddrinfo(element == "*" ? nullptr : element.c_str(),
                                std::to_string(port).c_str(), &hints, &found);
        if (error != 0)
            return ResolveFailure{element,
                                  error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error)};
        std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
        for (const addrinfo *each = found; each; each = each->ai_next) {
            Address address;
            std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
            address.size = each->ai_addrlen;
            if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
                addresses.push_back(address);
        }
    }
    return addresses;
}

} // namespace rtd::net
