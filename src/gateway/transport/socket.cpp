#include "gateway/transport/socket.h"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace rtd::net {

namespace {

Socket::Io failure() {
    bool is_later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (is_later)
        return {Socket::Io::Result::blocked};
    return {Socket::Io::Result::broken, 0, "the connection broke"};
}

} // namespace

Socket::Socket(Poller &poller, Fd fd) : poller_(poller), fd_(std::move(fd)) {}

Socket::~Socket() {
    if (fd_.get() >= 0) // not moved on
        poller_.forget(fd_.get());
}

void Socket::start_tls(const TlsContext &context) {
    tls_ = std::make_unique<TlsStream>(context, fd_.get());
}

bool Socket::watch(Poller::Watcher &watcher, bool for_reading, bool for_writing) {
    uint32_t events = (for_reading ? read_event_ : 0) | (for_writing ? write_event_ : 0);
    return poller_.watch(fd_.get(), watcher, events);
}

Socket::Io Socket::read(char *buffer, size_t size) {
    if (tls_)
        return read_tls(buffer, size);
    ssize_t got = recv(fd_.get(), buffer, size, 0);
    if (got < 0)
        return failure();
    if (got == 0)
        return {Io::Result::ended};
    return {Io::Result::done, static_cast<size_t>(got)};
}

Socket::Io Socket::write(const iovec *pieces, int count) {
    if (tls_)
        return write_tls(pieces, count);
    msghdr message{};
    message.msg_iov = const_cast<iovec *>(pieces);
    message.msg_iovlen = static_cast<size_t>(count);
    ssize_t put = count == 1 ? send(fd_.get(), pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL)
                             : sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (put < 0)
        return failure();
    return {Io::Result::done, static_cast<size_t>(put)};
}

Socket::Io Socket::read_tls(char *buffer, size_t size) {
    using Outcome = TlsStream::Outcome;
    TlsStream::Progress progress = tls_->read(buffer, size);
    read_event_ = progress.outcome == Outcome::wants_write ? EPOLLOUT : EPOLLIN;
    switch (progress.outcome) {
    case Outcome::done:
        return {Io::Result::done, progress.bytes};
    case Outcome::wants_read:
    case Outcome::wants_write:
        return {Io::Result::blocked};
    case Outcome::closed:
        return {Io::Result::ended};
    case Outcome::plain_http:
        tls_.reset();
        return {Io::Result::plain_http};
    case Outcome::failed:
        break;
    }
    return {Io::Result::tls_failed, 0, progress.reason};
}

Socket::Io Socket::write_tls(const iovec *pieces, int count) {
    using Outcome = TlsStream::Outcome;
    TlsStream::Progress progress = tls_->write(pieces, static_cast<size_t>(count));
    write_event_ = progress.outcome == Outcome::wants_read ? EPOLLIN : EPOLLOUT;
    switch (progress.outcome) {
    case Outcome::done:
    case Outcome::wants_read:
    case Outcome::wants_write:
        return {Io::Result::done, progress.bytes};
    case Outcome::closed:
        return {Io::Result::broken, 0, "the connection broke"};
    case Outcome::plain_http: // only reading meets it
    case Outcome::failed:
        break;
    }
    return {Io::Result::tls_failed, 0, progress.reason};
}

void Socket::finish_writing() {
    if (tls_)
        tls_->shutdown(); // if there is no room even for that, the client must do without
    shutdown(fd_.get(), SHUT_WR);
}

void Socket::allow_last_words() {
    constexpr int kNoLimit = 0; // but that of the socket's buffer
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kNoLimit, sizeof kNoLimit);
}

void Socket::set_acknowledge_timeout(unsigned milliseconds) {
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

} // namespace rtd::net
