#include "net/http_session.h"

#include <sys/socket.h>

namespace rtd::net {

namespace {

constexpr int kGoodbyeSeconds = 5;

} // namespace

void HttpSession::say(std::string text) {
    constexpr uint64_t kOfNoSubscription = 0;
    send(std::make_shared<const WireMessage>(std::move(text)), kOfNoSubscription,
         QueuePolicy::keep);
}

void HttpSession::answer(const Answer &answer, uint16_t code, std::string_view reason) {
    say(render(answer, with_body_));
    finish(code, reason);
}

void HttpSession::finish(uint16_t code, std::string_view reason) {
    set_close(code, reason);
    lws_callback_on_writable(wsi());
}

// With something to write in hand lws does not read a raw socket, but would be woken up by what it
// does not read, again and again.
void HttpSession::on_stuck() {
    lws_rx_flow_control(wsi(), 0);
}

// At the end our side is shut, not closed: closing with something unread in the socket would reset
// the connection and might take the answer along.
void HttpSession::on_drained() {
    lws_rx_flow_control(wsi(), 1);
    if (!is_closing() || std::exchange(is_shut_, true))
        return;
    shutdown(lws_get_socket_fd(wsi()), SHUT_WR);
    give_up_after(kGoodbyeSeconds);
}

} // namespace rtd::net
