// Connections: all of them, and what is done for them at the end of a turn of the loop: the first
// of those for whom something waits are written all of it, in one write each, and who is gone is
// freed. Until then it stays where others may be holding on to it.
//
// The others have their turn in the next turns. What comes meanwhile goes out to them with the
// rest, so a gateway that falls behind has fewer writes to do, and no message waits for the end of
// the one before.
#pragma once
#include "core/fence.h"
#include "gateway/transport/uv_handle.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace rtd::net {

class Connection;

class Connections {
  public:
    explicit Connections(uv_loop_t *loop);
    ~Connections();

    void add(std::unique_ptr<Connection> connection);
    // Called by the connection, at most once until it is written.
    void has_something_to_write(Connection &connection);
    // Called by the connection, once.
    void is_gone(Connection &connection) { gone_.push_back(&connection); }
    // Called by the connection, at most once until it is read again.
    void waits_to_read(Connection &connection);
    // Those that wait are read again, the first ones first.
    void read_again();

    // Calls this at the end of every turn that leaves nobody to be written.
    void when_all_are_written(std::function<void()> callback) {
        all_written_ = std::move(callback);
    }

  private:
    void end_turn();
    void write_some();
    void remove_gone();
    void remove(Connection &connection);

    std::vector<std::unique_ptr<Connection>> all_; // each knows its place
    std::deque<Connection *> to_write_;            // each knows its place; nullptr: it has gone
    uint64_t written_ = 0;                         // those before to_write_
    std::deque<Connection *> to_read_;             // the same
    uint64_t read_ = 0;                            // those before to_read_
    std::vector<Connection *> gone_;
    std::function<void()> all_written_ = [] {};
    UvHandle<uv_prepare_t> turn_;
    UvHandle<uv_idle_t> more_; // active while somebody has to wait for the next turn
};

} // namespace rtd::net
