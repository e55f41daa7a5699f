#include "net/socket.h"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace rtd::net {

namespace {

Socket::Io failure() {
    bool is_later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return {is_later ? Socket::Io::Result::blocked : Socket::Io::Result::broken};
}

} // namespace

Socket::Socket(uv_loop_t *loop, Fd fd) : fd_(std::move(fd)) {
    uv_poll_init(loop, poll_.get(), fd_.get());
}

void Socket::watch(Watcher &watcher, bool for_reading, bool for_writing) {
    poll_->data = &watcher;
    int events = (for_reading ? UV_READABLE : 0) | (for_writing ? UV_WRITABLE : 0);
    if (events == watched_)
        return;
    watched_ = events;
    if (events == 0) {
        uv_poll_stop(poll_.get());
        return;
    }
    uv_poll_start(poll_.get(), events, [](uv_poll_t *poll, int status, int ready) {
        bool is_broken = status != 0;
        static_cast<Watcher *>(poll->data)
            ->on_ready(is_broken || ready & UV_READABLE, ready & UV_WRITABLE);
    });
}

Socket::Io Socket::read(char *buffer, size_t size) {
    ssize_t got = recv(fd_.get(), buffer, size, 0);
    if (got < 0)
        return failure();
    if (got == 0)
        return {Io::Result::ended};
    return {Io::Result::done, static_cast<size_t>(got)};
}

Socket::Io Socket::write(const iovec *pieces, int count) {
    ssize_t put = count == 1 ? send(fd_.get(), pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL)
                             : writev(fd_.get(), pieces, count); // SIGPIPE is ignored
    if (put < 0)
        return failure();
    return {Io::Result::done, static_cast<size_t>(put)};
}

void Socket::finish_writing() {
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
