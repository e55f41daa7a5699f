#include "net/socket.h"

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

Socket::Socket(uv_loop_t *loop, Fd fd) : fd_(std::move(fd)) {
    uv_poll_init(loop, poll_.get(), fd_.get());
}

void Socket::start_tls(const TlsContext &context) {
    tls_ = std::make_unique<TlsStream>(context, fd_.get());
}

void Socket::watch(Watcher &watcher, bool for_reading, bool for_writing) {
    poll_->data = &watcher;
    int events = (for_reading ? read_event_ : 0) | (for_writing ? write_event_ : 0);
    if (events == watched_)
        return;
    watched_ = events;
    if (events == 0) {
        uv_poll_stop(poll_.get());
        return;
    }
    uv_poll_start(poll_.get(), events, [](uv_poll_t *poll, int status, int ready) {
        static_cast<Watcher *>(poll->data)->on_ready(status != 0 ? kBroken : ready);
    });
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
    ssize_t put = count == 1 ? send(fd_.get(), pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL)
                             : writev(fd_.get(), pieces, count); // SIGPIPE is ignored
    if (put < 0)
        return failure();
    return {Io::Result::done, static_cast<size_t>(put)};
}

Socket::Io Socket::read_tls(char *buffer, size_t size) {
    using Outcome = TlsStream::Outcome;
    TlsStream::Progress progress = tls_->read(buffer, size);
    read_event_ = progress.outcome == Outcome::wants_write ? UV_WRITABLE : UV_READABLE;
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
    return {Io::Result::broken, 0, "TLS failed: " + progress.reason};
}

Socket::Io Socket::write_tls(const iovec *pieces, int count) {
    using Outcome = TlsStream::Outcome;
    TlsStream::Progress progress = tls_->write(pieces, static_cast<size_t>(count));
    write_event_ = progress.outcome == Outcome::wants_read ? UV_READABLE : UV_WRITABLE;
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
    return {Io::Result::broken, 0, "TLS failed: " + progress.reason};
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
