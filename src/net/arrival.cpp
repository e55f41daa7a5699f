#include "net/arrival.h"

#include <algorithm>

namespace rtd::net {

namespace {

constexpr char kTlsHandshake = 0x16; // what a client that wants TLS says first

} // namespace

Arrival::Arrival(Environment &environment, Socket socket, const Address &address,
                 ArrivalOwner &owner)
    : Connection(environment, std::move(socket)), address_(address), owner_(owner) {
    environment.heads.begin(wait());
}

Socket Arrival::take_socket() {
    vanish("");
    return std::move(socket());
}

void Arrival::on_data(std::string_view bytes) {
    size_t before = head_.size();
    head_.append(bytes);
    if (head_.starts_with(kTlsHandshake))
        return owner_.on_request(*this, Problem{"this port does not speak TLS: use http or ws"},
                                 {});
    size_t end = head_.find(kHeadEnd, before - std::min(before, kHeadEnd.size() - 1));
    bool is_whole = end != std::string::npos;
    size_t size = is_whole ? end + kHeadEnd.size() : head_.size();
    if (size > kMaxHeadBytes)
        owner_.on_request(*this,
                          Problem{"the request's head is longer than " +
                                  std::to_string(kMaxHeadBytes) + " bytes"},
                          {});
    else if (is_whole)
        owner_.on_request(*this, parse_http_request(std::string_view(head_).substr(0, size)),
                          std::string_view(head_).substr(size));
}

void Arrival::on_plain_http() {
    owner_.on_request(*this, Problem{"this port speaks TLS: use https or wss"}, {});
}

void Arrival::on_tls_failure(const std::string &reason) {
    owner_.on_tls_failure(*this, reason);
    vanish(reason);
}

} // namespace rtd::net
