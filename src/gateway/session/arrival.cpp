#include "gateway/session/arrival.h"

#include <algorithm>

namespace rtd::net {

namespace {

constexpr char kTlsHandshake = 0x16; // what a client that wants TLS says first

} // namespace

Arrival::Arrival(Environment &environment, AdmittedSocket socket, const Address &address,
                 ArrivalOwner &owner)
    : Connection(environment, std::move(socket)), address_(address), owner_(owner) {
    environment.heads.begin(wait());
}

AdmittedSocket Arrival::take_socket() {
    vanish("");
    return std::move(socket());
}

void Arrival::on_data(std::string_view bytes) {
    size_t before = head_.size();
    head_.append(bytes);
    if (head_.starts_with(kTlsHandshake))
        return owner_.on_bad_request(*this, RefusalReason::tls,
                                     "this port does not speak TLS: use http or ws");
    size_t end = head_.find(kHeadEnd, before - std::min(before, kHeadEnd.size() - 1));
    bool is_whole = end != std::string::npos;
    size_t size = is_whole ? end + kHeadEnd.size() : head_.size();
    if (size > kMaxHeadBytes)
        return owner_.on_bad_request(*this, RefusalReason::bad_request,
                                     "the request's head is longer than " +
                                         std::to_string(kMaxHeadBytes) + " bytes");
    if (!is_whole)
        return;
    Result<HttpRequest> request = parse_http_request(std::string_view(head_).substr(0, size));
    if (request)
        owner_.on_request(*this, *request, std::string_view(head_).substr(size));
    else
        owner_.on_bad_request(*this, RefusalReason::bad_request, request.error());
}

void Arrival::on_plain_http() {
    owner_.on_bad_request(*this, RefusalReason::tls, "this port speaks TLS: use https or wss");
}

// Browsers open connections that they may need soon, and say nothing on them: that is no request.
void Arrival::on_late() {
    if (!head_.empty())
        owner_.on_slow_request(*this);
    Connection::on_late();
}

void Arrival::on_tls_failure(const std::string &reason) {
    owner_.on_tls_failure(*this, reason);
    vanish(reason);
}

} // namespace rtd::net
