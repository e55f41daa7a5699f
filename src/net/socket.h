// Socket: one client's TCP connection, non-blocking, on the loop, in plain text or over TLS. It
// reads and writes directly and asks the loop only whether it can: most writes go out at once, and
// cost one system call.
#pragma once
#include "core/fence.h"
#include "net/admission.h"
#include "net/fd.h"
#include "net/tls.h"
#include "net/uv_handle.h"

#include <cstddef>
#include <memory>
#include <string>
#include <sys/uio.h>

namespace rtd::net {

class Socket {
  public:
    class Watcher {
      public:
        // What of `events` means is for the socket to say.
        virtual void on_ready(int events) = 0;

      protected:
        ~Watcher() = default;
    };

    struct Io {
        // plain_http: the client of a TLS port speaks plain HTTP, and from here on so do we.
        enum class Result { done, blocked, ended, broken, plain_http };
        Result result;
        size_t bytes = 0;        // if done; a write may take a part
        std::string reason = {}; // if broken
    };

    Socket(uv_loop_t *loop, Fd fd);
    Socket(Socket &&) noexcept = default;

    Admission::Ticket ticket; // its place among all connections

    // Everything from here on goes over TLS. The handshake is a matter of the first reads.
    void start_tls(const TlsContext &context);

    // From now on `watcher` is told when there is something to read, or room to write, if asked
    // for. A broken connection is readable.
    void watch(Watcher &watcher, bool for_reading, bool for_writing);
    bool can_read(int events) const { return (events & (read_event_ | kBroken)) != 0; }
    bool can_write(int events) const { return (events & write_event_) != 0; }

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
    static constexpr int kBroken = UV_DISCONNECT; // how on_ready() is told

    Io read_tls(char *buffer, size_t size);
    Io write_tls(const iovec *pieces, int count);

    // TLS says its last words, and libuv forgets the handle, before the descriptor is closed.
    Fd fd_;
    UvHandle<uv_poll_t> poll_;
    std::unique_ptr<TlsStream> tls_;
    int watched_ = 0; // events
    // What reading and writing wait for: within TLS each may have to do the other first.
    int read_event_ = UV_READABLE;
    int write_event_ = UV_WRITABLE;
};

} // namespace rtd::net
