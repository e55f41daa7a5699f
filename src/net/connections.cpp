#include "net/connections.h"

#include "net/connection.h"

namespace rtd::net {

Connections::Connections(uv_loop_t *loop) {
    uv_prepare_init(loop, turn_.get());
    turn_->data = this;
    uv_prepare_start(turn_.get(), [](uv_prepare_t *prepare) {
        static_cast<Connections *>(prepare->data)->end_turn();
    });
}

Connections::~Connections() = default;

void Connections::add(std::unique_ptr<Connection> connection) {
    connection->index_ = all_.size();
    all_.push_back(std::move(connection));
}

void Connections::write_all() {
    for (size_t i = 0; i < to_write_.size(); i++) // writing may give more to write
        to_write_[i]->write_waiting();
    to_write_.clear();
}

// Who goes may tell others, who then have something to write, or go as well.
void Connections::end_turn() {
    while (!to_write_.empty() || !gone_.empty()) {
        write_all();
        std::vector<Connection *> gone;
        gone.swap(gone_);
        for (Connection *connection : gone)
            remove(*connection);
    }
}

void Connections::remove(Connection &connection) {
    connection.on_gone();
    size_t index = connection.index_;
    std::swap(all_[index], all_.back());
    all_[index]->index_ = index;
    all_.pop_back();
}

} // namespace rtd::net
