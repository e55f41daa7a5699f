// Poller: tells the sockets of clients when they can read or write. It is one epoll descriptor
// inside libuv's loop, because a client's socket in libuv's own (uv_poll_t) costs seven system
// calls for each connection, and here one.
//
// It is level-triggered: what was not read is told again in the next turn.
#pragma once
#include "core/fence.h"
#include "gateway/transport/fd.h"
#include "gateway/transport/uv_handle.h"

#include <cstdint>
#include <sys/epoll.h>
#include <vector>

namespace rtd::net {

class Poller {
  public:
    class Watcher {
      public:
        // `events` as epoll_wait(2) has them.
        virtual void on_ready(uint32_t events) = 0;

      protected:
        ~Watcher() = default;
    };

    explicit Poller(uv_loop_t *loop);

    // From now on `watcher`, and nobody else, is told of these events of `fd`: EPOLLIN, EPOLLOUT,
    // and of EPOLLERR and EPOLLHUP in any case; of none at all if `events` is 0. False: the kernel
    // cannot watch one more.
    bool watch(int fd, Watcher &watcher, uint32_t events);
    // To be called before `fd` is closed: the next one may have its number.
    void forget(int fd);

  private:
    struct Entry {
        Watcher *watcher = nullptr;
        uint32_t events = 0;
    };

    void dispatch();

    std::vector<Entry> entries_; // by descriptor
    Fd epoll_;
    UvHandle<uv_poll_t> poll_; // forgets the descriptor before it is closed
};

} // namespace rtd::net
