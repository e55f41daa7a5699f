// Listener: the listening sockets. They are ours and not libuv's, so that a bind that fails is an
// exact errno, several addresses share one port, and what to accept is our policy.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "gateway/transport/address.h"
#include "gateway/transport/fd.h"
#include "gateway/transport/uv_handle.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rtd::net {

struct ListenFailure {
    std::string address;
    std::string error;
};

class Listener {
  public:
    using OnAccept = std::function<void(Fd, const Address &)>;

    Listener(uv_loop_t *loop, OnAccept on_accept);

    // Listens on all of `addresses` and `port` (0: any free one), or on none. A port that another
    // server has is a failure, unless that is a gateway which this one joins.
    std::optional<ListenFailure> listen(const std::string &addresses, uint16_t port,
                                        link::PortUse use);
    void stop();

    std::vector<std::string> addresses() const;

    // Stops accepting until resume(): new clients wait in the kernel's queue.
    void pause();
    void resume();

  private:
    struct Socket {
        Fd fd;
        Address address;
        UvHandle<uv_poll_t> poll;
    };

    std::optional<ListenFailure> open_all(std::vector<Address> wanted, link::PortUse use);
    void start(Socket &socket);
    void accept_some(int listening_fd);

    uv_loop_t *loop_;
    OnAccept on_accept_;
    std::vector<std::unique_ptr<Socket>> sockets_;
    UvHandle<uv_timer_t> retry_; // accepts again after the machine ran out of descriptors
    bool paused_ = false;
};

} // namespace rtd::net
