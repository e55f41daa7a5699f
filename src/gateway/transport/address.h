// Socket addresses: as text, and found from a setting such as "localhost, 192.0.2.1" or "*".
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <variant>
#include <vector>

namespace rtd::net {

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&storage); }
    sockaddr *get() { return reinterpret_cast<sockaddr *>(&storage); }
    uint16_t port() const;
    void set_port(uint16_t port);
    bool operator==(const Address &other) const; // family, host and port
};

// "127.0.0.1:8787", "[::1]:8787"
std::string to_string(const Address &address);

// The address of this end of a socket.
Address local_address(int fd);

struct ResolveFailure {
    std::string address; // the element of the list that failed
    std::string error;
};

// Every address that `list` (comma-separated, "*" for all) means, each once, with `port`.
std::variant<std::vector<Address>, ResolveFailure> resolve(std::string_view list, uint16_t port);

} // namespace rtd::net
