// Connections: all of them, and what is done for them once a turn of the loop: before the loop
// waits, everybody is written what is waiting for him, in one write, and who is gone is freed.
// Until then it stays where others may be holding on to it.
#pragma once
#include "core/fence.h"
#include "net/uv_handle.h"

#include <cstddef>
#include <memory>
#include <vector>

namespace rtd::net {

class Connection;

class Connections {
  public:
    explicit Connections(uv_loop_t *loop);
    ~Connections();

    void add(std::unique_ptr<Connection> connection);
    // Both are called by the connection, at most once until the end of the turn.
    void has_something_to_write(Connection &connection) { to_write_.push_back(&connection); }
    void is_gone(Connection &connection) { gone_.push_back(&connection); }

    void write_all();

  private:
    void end_turn();
    void remove(Connection &connection);

    std::vector<std::unique_ptr<Connection>> all_; // each knows its place
    std::vector<Connection *> to_write_;
    std::vector<Connection *> gone_;
    UvHandle<uv_prepare_t> turn_;
};

} // namespace rtd::net
