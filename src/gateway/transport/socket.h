// Socket: one client's TCP connection, non-blocking, in plain text or over TLS. It reads and writes
// directly and asks the poller only whether it can: most writes go out at once, and cost one system
// call.
#pragma once
#include "core/fence.h"
#include "gateway/transport/fd.h"
#include "gateway/transport/poller.h"
#include "gateway/transport/tls.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/uio.h>

namespace rtd::net {

class Socket {
  public:
    struct Io {
        // plain_http: the client of a TLS port speaks plain HTTP, and from here on so do we.
        enum class Result { done, blocked, ended, broken, tls_failed, plain_http };
        Result result;
        size_t bytes = 0;        // if done; a write may take a part
        std::string reason = {}; // if broken, or as OpenSSL has it
    };

    Socket(Poller &poller, Fd fd);
    Socket(Socket &&) noexcept = default;
    ~Socket();

    // Everything from here on goes over TLS. The handshake is a matter of the first reads.
    void start_tls(const TlsContext &context);

    // From now on `watcher` is told when there is something to read, or room to write, if asked
    // for. What of the events means is for the socket to say; a broken connection is readable.
    // False: it cannot be watched.
    bool watch(Poller::Watcher &watcher, bool for_reading, bool for_writing);
    bool can_read(uint32_t events) const { return (events & (read_event_ | kBroken)) != 0; }
    bool can_write(uint32_t events) const { return (events & write_event_) != 0; }

    Io read(char *buffer, size_t size);
    Io write(const iovec *pieces, int count);
    // Some of what a write took is not out yet: the next one takes care of it, if need be without
    // pieces.
    bool holds_bytes() const { return tls_ && tls_->holds_bytes(); }
    // The client reads the end after all that was written.
    void finish_writing();
    // Lets the kernel take a last frame although the client has not read what it has already.
    void allow_last_words();
    // The kernel gives up if what was written is not acknowledged for so long.
    void set_acknowledge_timeout(unsigned milliseconds);

  private:
    static constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;

    Io read_tls(char *buffer, size_t size);
    Io write_tls(const iovec *pieces, int count);

    Poller &poller_;
    Fd fd_;
    std::unique_ptr<TlsStream> tls_; // says its last words before the descriptor is closed
    // What reading and writing wait for: within TLS each may have to do the other first.
    uint32_t read_event_ = EPOLLIN;
    uint32_t write_event_ = EPOLLOUT;
};

} // namespace rtd::net
