// Socket: one client's TCP connection, non-blocking, on the loop. It reads and writes directly and
// asks the loop only whether it can: most writes go out at once, and cost one system call.
#pragma once
#include "core/fence.h"
#include "net/fd.h"
#include "net/uv_handle.h"

#include <cstddef>
#include <sys/uio.h>

namespace rtd::net {

class Socket {
  public:
    class Watcher {
      public:
        virtual void on_ready(bool readable, bool writable) = 0;

      protected:
        ~Watcher() = default;
    };

    struct Io {
        enum class Result { done, blocked, ended, broken };
        Result result;
        size_t bytes = 0; // if done; a write may take a part
    };

    Socket(uv_loop_t *loop, Fd fd);
    Socket(Socket &&) noexcept = default;

    // From now on `watcher` is told when there is something to read, or room to write, if asked
    // for. A broken connection is readable.
    void watch(Watcher &watcher, bool for_reading, bool for_writing);

    Io read(char *buffer, size_t size);
    Io write(const iovec *pieces, int count);
    // The client reads the end after all that was written.
    void finish_writing();
    // Lets the kernel take a last frame although the client has not read what it has already.
    void allow_last_words();
    // The kernel gives up if what was written is not acknowledged for so long.
    void set_acknowledge_timeout(unsigned milliseconds);

  private:
    // The handle goes before the descriptor: libuv forgets it before it is closed.
    Fd fd_;
    UvHandle<uv_poll_t> poll_;
    int watched_ = 0; // events
};

} // namespace rtd::net
