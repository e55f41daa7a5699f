#include "gateway/transport/listener.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace rtd::net {

namespace {

constexpr int kBacklog = 4096; // as many as may be under way here; net.core.somaxconn may say less
constexpr int kAcceptsPerWakeUp = 64; // then let the others have their turn
constexpr int kPortAttempts = 16;     // for a port that is free on all addresses
// The kernel keeps a connection to itself until its client has said something, but not for longer:
// so accepting, reading and answering are one turn, and one wake-up.
constexpr int kSilentSeconds = 1;
constexpr uint64_t kOutOfDescriptorsPauseMs = 100;
// What the kernel may hold unsent for a client. Without it a slow client is sent stale messages
// from megabytes of socket buffer before we could skip to the newest.
constexpr int kUnsentBytes = 256 * 1024;

void enable(int fd, int level, int option, int value = 1) {
    setsockopt(fd, level, option, &value, sizeof value);
}

// This machine lacks the family or the address: not an error while another address binds.
bool is_missing(int error) {
    return error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT;
}

// 0, or the errno. The first of several gateways binds like one that is alone, so that a foreign
// server on the port is an error even if that would share it, and lets others in only then: Linux
// looks at the option of the sockets that are bound when another one comes.
int open_socket(const Address &address, link::PortUse use, Fd &fd) {
    fd.reset(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd.get() < 0)
        return errno;
    enable(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    // Accepted sockets inherit these two.
    enable(fd.get(), IPPROTO_TCP, TCP_NODELAY);
    enable(fd.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytes);
    if (address.storage.ss_family == AF_INET6)
        enable(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
    if (use == link::PortUse::joined)
        enable(fd.get(), SOL_SOCKET, SO_REUSEPORT);
    if (bind(fd.get(), address.get(), address.size) != 0)
        return errno;
    if (use == link::PortUse::first)
        enable(fd.get(), SOL_SOCKET, SO_REUSEPORT);
    enable(fd.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, kSilentSeconds);
    return ::listen(fd.get(), kBacklog) != 0 ? errno : 0;
}

} // namespace

Listener::Listener(uv_loop_t *loop, OnAccept on_accept)
    : loop_(loop), on_accept_(std::move(on_accept)) {
    uv_timer_init(loop_, retry_.get());
    retry_->data = this;
}

std::optional<ListenFailure> Listener::listen(const std::string &addresses, uint16_t port,
                                              link::PortUse use) {
    auto resolved = resolve(addresses, port);
    if (const auto *failure = std::get_if<ResolveFailure>(&resolved))
        return ListenFailure{failure->address, failure->error};
    std::vector<Address> wanted = std::get<std::vector<Address>>(std::move(resolved));
    if (wanted.empty())
        return ListenFailure{addresses, "no address to listen on is given"};

    std::optional<ListenFailure> failure;
    for (int attempt = 0; attempt < kPortAttempts; attempt++) {
        failure = open_all(wanted, use);
        if (!failure || port != 0)
            break;
    }
    if (failure)
        return failure;
    for (auto &socket : sockets_) {
        uv_poll_init(loop_, socket->poll.get(), socket->fd.get());
        socket->poll->data = this;
        start(*socket);
    }
    return std::nullopt;
}

std::optional<ListenFailure> Listener::open_all(std::vector<Address> wanted, link::PortUse use) {
    std::optional<ListenFailure> missing;
    sockets_.clear();
    for (Address &address : wanted) {
        if (!sockets_.empty() && address.port() == 0)
            address.set_port(sockets_.front()->address.port());
        auto socket = std::make_unique<Socket>();
        int error = open_socket(address, use, socket->fd);
        if (error != 0) {
            ListenFailure failure{to_string(address), std::strerror(error)};
            if (!is_missing(error)) {
                sockets_.clear();
                return failure;
            }
            missing = failure;
            continue;
        }
        socket->address = local_address(socket->fd.get());
        sockets_.push_back(std::move(socket));
    }
    return sockets_.empty() ? missing : std::nullopt;
}

void Listener::stop() {
    sockets_.clear();
}

std::vector<std::string> Listener::addresses() const {
    std::vector<std::string> texts;
    for (const auto &socket : sockets_)
        texts.push_back(to_string(socket->address));
    return texts;
}

void Listener::start(Socket &socket) {
    uv_poll_start(socket.poll.get(), UV_READABLE, [](uv_poll_t *poll, int, int) {
        uv_os_fd_t fd = -1;
        uv_fileno(reinterpret_cast<uv_handle_t *>(poll), &fd);
        static_cast<Listener *>(poll->data)->accept_some(fd);
    });
}

void Listener::accept_some(int listening_fd) {
    for (int i = 0; i < kAcceptsPerWakeUp && !paused_; i++) {
        Address peer;
        peer.size = sizeof peer.storage;
        Fd fd(accept4(listening_fd, peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd.get() < 0) {
            if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
                return; // nobody waits, or the client went away again
            std::fprintf(stderr, "cannot accept a client: %s\n", std::strerror(errno));
            pause();
            uv_timer_start(
                retry_.get(),
                [](uv_timer_t *timer) { static_cast<Listener *>(timer->data)->resume(); },
                kOutOfDescriptorsPauseMs, 0);
            return;
        }
        on_accept_(std::move(fd), peer);
    }
}

void Listener::pause() {
    paused_ = true;
    for (auto &socket : sockets_)
        uv_poll_stop(socket->poll.get());
}

void Listener::resume() {
    if (!paused_)
        return;
    paused_ = false;
    for (auto &socket : sockets_)
        start(*socket);
}

} // namespace rtd::net
