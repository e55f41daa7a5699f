#include "gateway/session/session.h"

#include "gateway/session/subscriptions.h"

namespace rtd::net {

Session::Session(Environment &environment, AdmittedSocket socket, Client client)
    : Connection(environment, std::move(socket)), client_(std::move(client)) {
    saw_life();
    start_reading();
}

bool Session::send(const WireMessagePtr &message, uint64_t subscription, QueuePolicy policy) {
    return closing_ || queue(message, subscription, policy);
}

void Session::on_caught_up() {
    if (!closing_)
        registry().revive(*this);
}

// ---- signs of life ----

void Session::saw_life() {
    if (closing_)
        return;
    awaits_sign_ = false;
    environment().signs.begin(wait());
}

void Session::on_late() {
    if (awaits_sign_ && !is_paused())
        return vanish("the client did not answer a ping");
    awaits_sign_ = ping();
    if (!closing_)
        environment().signs.begin(wait());
}

// ---- the end ----

void Session::set_close(uint16_t code, std::string_view reason) {
    if (closing_)
        return;
    closing_ = true;
    close_code_ = code;
    close_reason_ = reason;
}

void Session::end(CloseCode code, std::string_view reason) {
    registry().end(*this, code, reason);
}

void Session::vanish(std::string_view reason) {
    set_close(close_code_, reason);
    Connection::vanish(reason);
}

void Session::on_failure() {
    end(CloseCode::internal_error, meaning(CloseCode::internal_error));
}

} // namespace rtd::net
