#include "gateway/session/connections.h"

#include "gateway/session/connection.h"

namespace rtd::net {

namespace {

// Less than a millisecond of small messages, until the loop looks whether something has come; and
// looking costs a few microseconds.
constexpr size_t kWritesPerTurn = 128;

// While one is written, the next one comes into the processor's cache.
void prefetch(const Connection *connection) {
    constexpr size_t kLineBytes = 64;
    if (!connection)
        return;
    auto bytes = reinterpret_cast<const char *>(connection);
    for (size_t at = 0; at < sizeof(Connection); at += kLineBytes)
        __builtin_prefetch(bytes + at);
}

} // namespace

Connections::Connections(uv_loop_t *loop) {
    uv_prepare_init(loop, turn_.get());
    turn_->data = this;
    uv_idle_init(loop, more_.get());
    uv_prepare_start(turn_.get(), [](uv_prepare_t *prepare) {
        static_cast<Connections *>(prepare->data)->end_turn();
    });
}

Connections::~Connections() = default;

void Connections::add(std::unique_ptr<Connection> connection) {
    connection->index_ = all_.size();
    all_.push_back(std::move(connection));
}

void Connections::has_something_to_write(Connection &connection) {
    connection.is_listed_ = true;
    connection.place_ = written_ + to_write_.size();
    to_write_.push_back(&connection);
}

void Connections::waits_to_read(Connection &connection) {
    connection.is_paused_ = true;
    connection.read_place_ = read_ + to_read_.size();
    to_read_.push_back(&connection);
}

void Connections::read_again() {
    while (!to_read_.empty()) {
        Connection *connection = to_read_.front();
        to_read_.pop_front();
        read_++;
        if (!connection)
            continue;
        connection->is_paused_ = false;
        connection->watch();
    }
}

void Connections::write_some() {
    for (size_t i = 0; i < kWritesPerTurn && !to_write_.empty(); i++) {
        Connection *connection = to_write_.front();
        to_write_.pop_front();
        written_++;
        if (!to_write_.empty())
            prefetch(to_write_.front());
        if (!connection)
            continue;
        connection->is_listed_ = false;
        connection->write_waiting();
    }
}

// Who goes may tell others, who then have something to write, or go as well.
void Connections::remove_gone() {
    while (!gone_.empty()) {
        std::vector<Connection *> gone;
        gone.swap(gone_);
        for (Connection *connection : gone)
            remove(*connection);
    }
}

void Connections::end_turn() {
    write_some();
    remove_gone();
    if (!to_write_.empty()) {
        uv_idle_start(more_.get(), [](uv_idle_t *) {});
        return;
    }
    uv_idle_stop(more_.get());
    all_written_();
}

void Connections::remove(Connection &connection) {
    connection.on_gone();
    if (connection.is_listed_)
        to_write_[connection.place_ - written_] = nullptr;
    if (connection.is_paused_)
        to_read_[connection.read_place_ - read_] = nullptr;
    size_t index = connection.index_;
    std::swap(all_[index], all_.back());
    all_[index]->index_ = index;
    all_.pop_back();
}

} // namespace rtd::net
