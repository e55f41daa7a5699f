#include "gateway/transport/poller.h"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace rtd::net {

namespace {

constexpr int kEventsPerTurn = 256; // then let the others have their turn

} // namespace

Poller::Poller(uv_loop_t *loop) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_.get() < 0)
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    uv_poll_init(loop, poll_.get(), epoll_.get());
    poll_->data = this;
    uv_poll_start(poll_.get(), UV_READABLE,
                  [](uv_poll_t *poll, int, int) { static_cast<Poller *>(poll->data)->dispatch(); });
}

bool Poller::watch(int fd, Watcher &watcher, uint32_t events) {
    auto index = static_cast<size_t>(fd);
    if (index >= entries_.size())
        entries_.resize(index + 1);
    Entry &entry = entries_[index];
    entry.watcher = &watcher;
    uint32_t before = std::exchange(entry.events, events);
    if (events == before)
        return true;
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    int operation = before == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    return epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
}

// The kernel forgets a descriptor by itself when it is closed.
void Poller::forget(int fd) {
    if (auto index = static_cast<size_t>(fd); index < entries_.size())
        entries_[index] = {};
}

void Poller::dispatch() {
    std::array<epoll_event, kEventsPerTurn> events;
    int count = epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, 0);
    for (int i = 0; i < count; i++) {
        const epoll_event &event = events[static_cast<size_t>(i)];
        // Whoever came before in this turn may have ended this one.
        if (Watcher *watcher = entries_[static_cast<size_t>(event.data.fd)].watcher)
            watcher->on_ready(event.events);
    }
}

} // namespace rtd::net
